"""Recordings: their headers, and their samples at the rate a model hears."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import soundfile
import soxr
import torch
from torch import Tensor

from voxtune.data.sample import AudioPart
from voxtune.errors import DataError
from voxtune.parts.resampling import resample_sinc

Resampler = Literal["soxr", "sinc"]


@dataclass(frozen=True)
class AudioInfo:
    """What a recording's header says; seconds are those of the part that is asked for."""

    sample_rate: int
    channels: int
    seconds: float


def probe(part: AudioPart) -> AudioInfo:
    """Read a recording's header. Raises DataError when the file is missing or no audio."""
    raise NotImplementedError


def load(part: AudioPart, sample_rate: int, resampler: Resampler = "soxr") -> Tensor:
    """Samples of a recording in [-1, 1], one channel, at `sample_rate`: float32 [samples]."""
    raise NotImplementedError
