"""Files that end too early although their decoder does not notice: what RIFF and Ogg say about their own length."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

STREAMED_SIZE = 0x7FFFF000
"""A data chunk of this size or more was written by a program that did not know the length (sox and ffmpeg pipes)."""
LARGEST_PAGE = 27 + 255 + 255 * 255
END_OF_STREAM = 4


def missing_bytes(path: Path, container: str) -> str | None:
    """What is missing at the end of a file, as words; None when nothing is or the container does not say.

    `container` is libsndfile's name of the format. libsndfile shortens a cut-off WAV or Ogg file without an error.
    """
    if container in ("WAV", "WAVEX"):
        return _riff(path)
    if container == "OGG":
        return _ogg(path)
    return None


def _riff(path: Path) -> str | None:
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        order: Literal["big", "little"] = "big" if file.read(4) == b"RIFX" else "little"
        position = 12
        while position + 8 <= size:
            file.seek(position)
            header = file.read(8)
            length = int.from_bytes(header[4:], order)
            if header[:4] == b"data":
                present = size - position - 8
                if present < length < STREAMED_SIZE:
                    return f"its header promises {length} bytes of samples and {present} are there"
                return None
            position += 8 + length + length % 2
    return None


def _ogg(path: Path) -> str | None:
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        file.seek(max(0, size - LARGEST_PAGE))
        tail = file.read()
    page = tail[tail.rfind(b"OggS") :]
    segments = page[26] if len(page) > 26 else 255
    if len(page) < 27 + segments or len(page) < 27 + segments + sum(page[27 : 27 + segments]):
        return "its last page is incomplete"
    if not page[5] & END_OF_STREAM:
        return "its last page is not marked as the end of the stream"
    return None
