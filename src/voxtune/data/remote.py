"""Recordings behind http(s) URLs: fetched once, kept in a cache."""

from __future__ import annotations

import hashlib
import os
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from voxtune.errors import DataError
from voxtune.files import atomic_write

TIMEOUT_SECONDS = 30.0
BLOCK_BYTES = 1 << 20


def is_url(path: str) -> bool:
    """Whether a path of a manifest is an http(s) URL."""
    return path.startswith(("http://", "https://"))


def audio_cache() -> Path:
    """Where fetched recordings are kept: `$VOXTUNE_CACHE/audio`, or `~/.cache/voxtune/audio`."""
    root = os.environ.get("VOXTUNE_CACHE")
    return (Path(root) if root else Path.home() / ".cache" / "voxtune") / "audio"


def fetched(url: str) -> Path:
    """The local copy of a URL, downloaded when it is not in the cache yet.

    Raises DataError naming the URL when it cannot be fetched whole.
    """
    digest = hashlib.sha256(url.encode()).hexdigest()[:32]
    suffix = PurePosixPath(url.partition("?")[0]).suffix[:8]
    path = audio_cache() / f"{digest}{suffix}"
    if not path.exists():
        _download(url, path)
    return path


def _download(url: str, path: Path) -> None:
    try:
        request = urllib.request.Request(quote(url, safe="%/:=&?~#+!$,;'@()*[]"), headers={"User-Agent": "voxtune"})
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response, atomic_write(path) as temporary:
            size = 0
            with temporary.open("wb") as file:
                while block := response.read(BLOCK_BYTES):
                    size += file.write(block)
            promised = response.headers.get("Content-Length")
            if promised is not None and size != int(promised):
                raise DataError(f"{url}: {size} of {promised} bytes arrived; the connection broke: try again")
    except urllib.error.HTTPError as error:
        raise DataError(f"{url}: the server answered {error.code} {error.reason}; correct the address") from error
    except (OSError, HTTPException, ValueError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise DataError(
            f"{url}: cannot be fetched ({reason}); connect to the network, or download it and give its local path"
        ) from error
