"""SpecAugment on stacked rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from voxtune.parts.spec_augment import spec_augment

ROWS = torch.randn(60, 7 * 80, generator=torch.Generator().manual_seed(0))


def masked(seed: int) -> torch.Tensor:
    return spec_augment(ROWS, 80, np.random.default_rng(seed))


def test_same_random_numbers_same_result() -> None:
    assert torch.equal(masked(1), masked(1))
    assert not torch.equal(masked(1), masked(2))


def test_the_input_is_left_alone() -> None:
    before = ROWS.clone()
    masked(1)
    assert torch.equal(ROWS, before)


@pytest.mark.parametrize("seed", range(8))
def test_whole_bands_and_stretches_become_the_mean(seed: int) -> None:
    changed = (masked(seed) != ROWS).view(60, 7, 80)
    rows = changed.flatten(1).all(1)
    bins = changed[~rows].flatten(0, 1).all(0)
    assert torch.equal(changed, (rows[:, None, None] | bins[None, None]).expand(60, 7, 80))
    assert rows.float().mean() < 0.5
    assert bins.float().mean() < 0.6
    assert torch.allclose(masked(seed)[changed.flatten(1)], ROWS.mean(), atol=1e-5)
