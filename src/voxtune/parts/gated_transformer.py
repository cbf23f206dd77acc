"""Pieces of Moshi's two transformers: normalisation in float32, and how wide a gated feed-forward layer is."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPSILON = {"rms_norm": 1e-5, "rms_norm_f32": 1e-8}


class RmsNorm(nn.Module):
    """Root mean square normalisation, computed in float32 and given back in the type of its input.

    Source of the numbers: kyutai-labs/moshi, modules/transformer.py (rms_norm_f32: epsilon 1e-8).
    """

    def __init__(self, width: int, kind: str = "rms_norm_f32") -> None:
        super().__init__()
        self.epsilon = EPSILON[kind]
        self.alpha = nn.Parameter(torch.ones(width))

    def forward(self, states: Tensor) -> Tensor:
        """[..., width] to [..., width]."""
        return F.rms_norm(states.float(), self.alpha.shape, self.alpha.float(), self.epsilon).to(states.dtype)


def gated_width(feed_forward: int, width: int) -> int:
    """Rows of each half of a gated layer, given the width of the plain layer that it replaces.

    Source: kyutai-labs/moshi, modules/gating.py.
    """
    return 21 * width // 8 if feed_forward == 4 * width else 2 * feed_forward // 3


def gate(states: Tensor) -> Tensor:
    """SiLU of the first half times the second half: [..., 2 * rows] to [..., rows]."""
    activated, factor = states.chunk(2, -1)
    return F.silu(activated) * factor
