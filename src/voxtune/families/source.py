"""Where a checkpoint comes from: built in, a folder, or a model hub."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, RepositoryNotFoundError

from voxtune.errors import CheckpointError

TINY = "tiny"
HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


def resolve(source: str, tiny: Path, patterns: Sequence[str]) -> Path:
    """The local folder of a source: "tiny" (built in), a folder, or a hub id "owner/name".

    A hub id is downloaded once into Hugging Face's cache, only files that match `patterns`. Raises CheckpointError.
    """
    if source == TINY:
        return tiny
    path = Path(source).expanduser()
    if path.is_dir():
        return path
    if path.exists():
        raise CheckpointError(f"{source} is a file; give the folder that holds config.yaml and the weights")
    if not HUB_ID.fullmatch(source):
        raise CheckpointError(f"{source}: no such folder, and not a hub id (owner/name) nor {TINY!r}")
    return _download(source, patterns)


def _download(source: str, patterns: Sequence[str]) -> Path:
    try:
        return Path(snapshot_download(source, allow_patterns=list(patterns)))
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise CheckpointError(f"{source}: no such folder here, and no such model on huggingface.co") from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise CheckpointError(
            f"{source}: no such folder here, and it cannot be downloaded from huggingface.co "
            f"({type(error).__name__}). Without a network: copy the model's folder (from Hugging Face or ModelScope) "
            "to this machine and set model.source to its path"
        ) from error
