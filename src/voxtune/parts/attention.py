"""Attention over segments laid end to end, with a wall between neighbours and no padding."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Segments:
    """Where each segment of a packed sequence begins and ends."""

    lengths: list[int]
    device: torch.device

    @cached_property
    def total(self) -> int:
        """Frames of all segments."""
        return sum(self.lengths)

    @cached_property
    def ends(self) -> Tensor:
        """Zero and the running sum of the lengths, int32 [segments + 1]."""
        return torch.tensor([0, *self.lengths], device=self.device).cumsum(0).to(torch.int32)

    @cached_property
    def index(self) -> Tensor:
        """Number of the segment of each frame, [total]."""
        lengths = torch.tensor(self.lengths, device=self.device)
        return torch.repeat_interleave(torch.arange(len(lengths), device=self.device), lengths, output_size=self.total)

    @cached_property
    def position(self) -> Tensor:
        """Position of each frame in its segment, from 0, [total]."""
        return torch.arange(self.total, device=self.device) - self.ends[:-1].long()[self.index]


def packed_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    segments: Segments,
    *,
    causal: bool = False,
    scale: float | None = None,
    dropout: float = 0.0,
) -> Tensor:
    """Scaled dot-product attention inside each segment of a packed sequence.

    query: [frames, heads, width]; key, value: [frames, key_value_heads, width], key_value_heads dividing heads.
    Returns [frames, heads, width].

    Half precision on CUDA uses torch's variable-length kernel; everything else attends segment by segment, which
    was the fastest form on a CPU and computes nothing across walls.
    """
    if query.is_cuda and query.dtype in (torch.bfloat16, torch.float16) and dropout == 0:
        return _variable_length(query, key, value, segments, causal=causal, scale=scale)
    lengths = segments.lengths
    attended = [
        F.scaled_dot_product_attention(
            q.transpose(0, 1)[None],
            k.transpose(0, 1)[None],
            v.transpose(0, 1)[None],
            is_causal=causal,
            scale=scale,
            dropout_p=dropout,
            enable_gqa=query.shape[1] != key.shape[1],
        )[0].transpose(0, 1)
        for q, k, v in zip(query.split(lengths), key.split(lengths), value.split(lengths), strict=True)
    ]
    return torch.cat(attended)


def _variable_length(
    query: Tensor, key: Tensor, value: Tensor, segments: Segments, *, causal: bool, scale: float | None
) -> Tensor:
    from torch.nn.attention.varlen import varlen_attn

    longest = max(segments.lengths)
    out = varlen_attn(
        query,
        key,
        value,
        segments.ends,
        segments.ends,
        longest,
        longest,
        scale=scale,
        window_size=(-1, 0) if causal else (-1, -1),
        enable_gqa=query.shape[1] != key.shape[1],
    )
    assert isinstance(out, Tensor)
    return out
