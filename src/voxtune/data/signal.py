"""What the samples of a recording tell: its content's digest, loudness, silence, clipping."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from voxtune.data.audio import decode
from voxtune.data.sample import AudioPart

FULL_SCALE = 0.999
CLIPPED_RUN = 3
"""Consecutive samples at full scale that a converter or encoder has cut off."""


@dataclass(frozen=True)
class Signal:
    """A decoded recording in a few numbers.

    digest: of the samples as they are stored, the same for the same content in another lossless file; peak: largest
    absolute sample, 1 = full scale; clipped: share of the samples that are cut off at full scale.
    """

    sample_rate: int
    seconds: float
    digest: str
    peak: float
    clipped: float


def measure_signal(part: AudioPart) -> Signal:
    """Decode a recording once and measure it. Raises DataError, see `voxtune.data.audio.decode`."""
    frames, rate = decode(part)
    level = np.abs(frames)
    return Signal(
        sample_rate=rate,
        seconds=len(frames) / rate,
        digest=hashlib.blake2b(np.ascontiguousarray(frames).data, digest_size=16).hexdigest(),
        peak=float(level.max()),
        clipped=_clipped(level >= FULL_SCALE),
    )


def _clipped(full: NDArray[np.bool_]) -> float:
    """Share of the places in [samples, channels] where a run of CLIPPED_RUN samples at full scale begins."""
    if len(full) < CLIPPED_RUN or not full.any():
        return 0.0
    return float(sliding_window_view(full, CLIPPED_RUN, axis=0).all(-1).mean())
