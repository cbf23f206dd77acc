"""What RIFF and Ogg files say about their own length: libsndfile shortens one that was cut off without an error."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import BinaryIO, Literal

STREAMED_SIZE = 0x7FFFF000
"""A data chunk of this size or more was written by a program that did not know the length (sox and ffmpeg pipes)."""
UNCOMPRESSED = (1, 3, 6, 7, 0xFFFE)
"""Format tags of PCM, float, A-law, mu-law and extensible: a frame has a fixed number of bytes."""
LARGEST_PAGE = 27 + 255 + 255 * 255
END_OF_STREAM = 4


@dataclass(frozen=True)
class WavHeader:
    """Header of a WAV file. `frames`: None where only a decoder knows. `missing`: words when it is cut off."""

    sample_rate: int
    channels: int
    frames: int | None
    missing: str | None


def wav_header(path: str) -> WavHeader | None:
    """Header of a WAV file without a decoder (some 20 us); None when it is none, or not a readable file."""
    try:
        with open(path, "rb", buffering=0, opener=_without_waiting) as file:
            return _riff(file, os.fstat(file.fileno()).st_size)
    except (OSError, ValueError):
        return None


def _without_waiting(path: str, flags: int) -> int:
    """Open a pipe too without waiting for its writer."""
    return os.open(path, flags | os.O_NONBLOCK)


def _riff(file: BinaryIO, size: int) -> WavHeader | None:
    head = file.read(4096)
    if head[:4] not in (b"RIFF", b"RIFX") or head[8:12] != b"WAVE":
        return None
    order: Literal["big", "little"] = "big" if head[:4] == b"RIFX" else "little"
    tag = channels = rate = frame_bytes = 0
    start = 12
    while start + 8 <= size:
        if start + 24 > len(head):
            file.seek(start)
            head, start, skipped = file.read(4096), 0, start
            size -= skipped
        length = int.from_bytes(head[start + 4 : start + 8], order)
        name = head[start : start + 4]
        if name == b"fmt ":
            tag, channels = (int.from_bytes(head[start + at : start + at + 2], order) for at in (8, 10))
            rate = int.from_bytes(head[start + 12 : start + 16], order)
            frame_bytes = int.from_bytes(head[start + 20 : start + 22], order)
        elif name == b"data":
            present = size - start - 8
            missing = f"its header promises {length} bytes of samples and {present} are there"
            known = 0 < length < STREAMED_SIZE and tag in UNCOMPRESSED and frame_bytes > 0 and rate > 0
            return WavHeader(
                rate,
                channels,
                frames=min(length, present) // frame_bytes if known else None,
                missing=missing if present < length < STREAMED_SIZE else None,
            )
        start += 8 + length + length % 2
    return None


def ogg_missing(path: str) -> str | None:
    """What is missing at the end of an Ogg file, as words; None when it ends as it should."""
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123
        size = os.fstat(file.fileno()).st_size
        file.seek(max(0, size - LARGEST_PAGE))
        tail = file.read(LARGEST_PAGE)
    page = tail[tail.rfind(b"OggS") :]
    segments = page[26] if len(page) > 26 else 255
    if len(page) < 27 + segments or len(page) < 27 + segments + sum(page[27 : 27 + segments]):
        return "its last page is incomplete"
    if not page[5] & END_OF_STREAM:
        return "its last page is not marked as the end of the stream"
    return None
