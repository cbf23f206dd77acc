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
    window: int | None = None,
    scale: float | None = None,
    dropout: float = 0.0,
) -> Tensor:
    """Scaled dot-product attention inside each segment of a packed sequence.

    query: [frames, heads, width]; key, value: [frames, key_value_heads, width], key_value_heads dividing heads.
    window: with `causal`, how many frames each one sees, itself included; None = all before it.
    Returns [frames, heads, width].

    Half precision on CUDA uses torch's variable-length kernel; everything else attends segment by segment, which
    was the fastest form on a CPU and computes nothing across walls.
    """
    if query.is_cuda and query.dtype in (torch.bfloat16, torch.float16) and dropout == 0:
        return _variable_length(query, key, value, segments, causal=causal, window=window, scale=scale)
    lengths = segments.lengths
    attended = [
        _attend(q, k, v, causal=causal, window=window, scale=scale, dropout=dropout)
        for q, k, v in zip(query.split(lengths), key.split(lengths), value.split(lengths), strict=True)
    ]
    return torch.cat(attended)


def _attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    causal: bool,
    window: int | None,
    scale: float | None,
    dropout: float,
) -> Tensor:
    """One segment, [frames, heads, width]. Frames beyond the window are taken a block at a time: a block needs the
    keys of itself and of one window before it."""
    frames = len(query)
    blocks = [(0, frames)] if window is None else [(start, start + window) for start in range(0, frames, window)]
    attended = []
    for start, end in blocks:
        first = max(0, start - window + 1) if window else 0
        mask = None
        if first:
            assert window is not None
            to = torch.arange(start, min(end, frames), device=query.device)[:, None]
            distance = to - torch.arange(first, min(end, frames), device=query.device)
            mask = (distance >= 0) & (distance < window)
        attended.append(
            F.scaled_dot_product_attention(
                query[start:end].transpose(0, 1)[None],
                key[first:end].transpose(0, 1)[None],
                value[first:end].transpose(0, 1)[None],
                attn_mask=mask,
                is_causal=causal and mask is None,
                scale=scale,
                dropout_p=dropout,
                enable_gqa=query.shape[1] != key.shape[1],
            )[0].transpose(0, 1)
        )
    return torch.cat(attended) if len(attended) > 1 else attended[0]


def _variable_length(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    segments: Segments,
    *,
    causal: bool,
    window: int | None,
    scale: float | None,
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
        window_size=(-1 if window is None else window - 1, 0) if causal else (-1, -1),
        enable_gqa=query.shape[1] != key.shape[1],
    )
    assert isinstance(out, Tensor)
    return out
