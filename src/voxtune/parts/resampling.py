"""Windowed-sinc resampling with the numbers of torchaudio, for models whose upstream resamples that way."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

ZERO_CROSSINGS = 6
ROLLOFF = 0.99


def resample_sinc(waveform: Tensor, source_rate: int, target_rate: int) -> Tensor:
    """Resample float32 [..., samples] with a Hann-windowed sinc; returns ceil(samples * target / source) samples.

    Source of the numbers: torchaudio.transforms.Resample with its defaults (lowpass_filter_width 6, rolloff 0.99).
    """
    divisor = math.gcd(source_rate, target_rate)
    source, target = source_rate // divisor, target_rate // divisor
    if source == target:
        return waveform
    kernel, width = _kernel(source, target)
    length = waveform.shape[-1]
    padded = F.pad(waveform.reshape(-1, 1, length), (width, width + source))
    phases = F.conv1d(padded, kernel.to(waveform.device), stride=source)
    resampled = phases.transpose(1, 2).reshape(*waveform.shape[:-1], -1)
    return resampled[..., : math.ceil(target * length / source)]


@lru_cache(maxsize=32)
def _kernel(source: int, target: int) -> tuple[Tensor, int]:
    """One filter a phase, float32 [target, 1, taps], and the samples that it reaches to the left."""
    cutoff = min(source, target) * ROLLOFF
    width = math.ceil(ZERO_CROSSINGS * source / cutoff)
    taps = torch.arange(-width, width + source, dtype=torch.float64) / source
    # torchaudio rounds the phases, and them alone, to float32.
    phases = -torch.arange(target, dtype=torch.float32)[:, None, None] / target
    time = ((phases + taps) * cutoff).clamp(-ZERO_CROSSINGS, ZERO_CROSSINGS)
    window = torch.cos(time * math.pi / ZERO_CROSSINGS / 2) ** 2
    return (torch.sinc(time) * window * cutoff / source).float(), width
