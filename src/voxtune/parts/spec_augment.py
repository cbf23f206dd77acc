"""SpecAugment (Park et al., 2019) for stacked log-mel rows: random bands and stretches are set to the mean."""

from __future__ import annotations

import numpy as np
from torch import Tensor

BANDS = 2
WIDEST_BAND = 1 / 5
STRETCHES = 2
LONGEST_STRETCH = 1 / 12


def spec_augment(rows: Tensor, mel_bins: int, random: np.random.Generator) -> Tensor:
    """Mask mel bands and time stretches of [rows, stacked * mel_bins]; returns a new tensor.

    Up to BANDS bands of up to WIDEST_BAND of the bins, and STRETCHES of up to LONGEST_STRETCH of the rows.
    """
    masked = rows.clone()
    mean = rows.mean()
    by_bin = masked.view(len(rows), -1, mel_bins)
    for _ in range(BANDS):
        width = int(random.integers(0, int(mel_bins * WIDEST_BAND) + 1))
        start = int(random.integers(0, mel_bins - width + 1))
        by_bin[:, :, start : start + width] = mean
    for _ in range(STRETCHES):
        length = int(random.integers(0, int(len(rows) * LONGEST_STRETCH) + 1))
        start = int(random.integers(0, len(rows) - length + 1))
        masked[start : start + length] = mean
    return masked
