"""Rotary position embedding over interleaved pairs: (0, 1), (2, 3), ... turn together."""

from __future__ import annotations

import torch
from torch import Tensor


def rotation(position: Tensor, width: int, max_period: float) -> Tensor:
    """The turn of each pair at each position, complex64 [..., width / 2]; angles are computed in float32.

    position: [...], from 0. Source: kyutai-labs/moshi, modules/rope.py (angle = position * max_period^(-2i / width)).
    """
    pairs = torch.arange(width // 2, device=position.device, dtype=torch.float32)
    frequency = max_period ** (-2 * pairs / width)
    angle = position.float()[..., None] * frequency
    return torch.polar(torch.ones_like(angle), angle)


def rotate(states: Tensor, turn: Tensor) -> Tensor:
    """Turn the pairs of queries or keys [..., heads, width] by `turn` [..., width / 2]; the type of `states` stays."""
    pairs = torch.view_as_complex(states.float().unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * turn[..., None, :]).flatten(-2).to(states.dtype)
