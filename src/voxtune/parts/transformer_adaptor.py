"""The small Transformer that carries encoder frames into another width, over packed segments.

Source of the numbers: funasr/models/llm_asr/adaptor.py (`Transformer`). Parameter names are upstream's. It serves
twice in Fun-ASR-Nano: as the audio adaptor in front of the language model, and as the decoder in front of CTC.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from voxtune.parts.attention import Segments, packed_attention
from voxtune.parts.sanm import FeedForward, Float32LayerNorm


@dataclass(frozen=True)
class AdaptorConfig:
    """Sizes of the adaptor; the defaults are those of the published Fun-ASR-Nano's audio adaptor."""

    downsample_rate: int = 1
    encoder_dim: int = 512
    llm_dim: int = 1024
    ffn_dim: int = 2048
    n_layer: int = 2
    attention_heads: int = 8
    dropout: float = 0.0


class SelfAttention(nn.Module):
    """Multi-head self-attention inside each segment."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.linear_q = nn.Linear(width, width)
        self.linear_k = nn.Linear(width, width)
        self.linear_v = nn.Linear(width, width)
        self.linear_out = nn.Linear(width, width)
        self.dropout = dropout

    def forward(self, x: Tensor, segments: Segments) -> Tensor:
        by_head = (x.shape[0], self.heads, -1)
        q, k, v = (linear(x).view(by_head) for linear in (self.linear_q, self.linear_k, self.linear_v))
        attended = packed_attention(q, k, v, segments, dropout=self.dropout if self.training else 0.0)
        return self.linear_out(attended.flatten(1))  # type: ignore[no-any-return]


class AdaptorBlock(nn.Module):
    """Pre-norm Transformer layer with a narrow feed-forward part (a quarter of the width)."""

    def __init__(self, config: AdaptorConfig) -> None:
        super().__init__()
        width = config.llm_dim
        self.self_attn = SelfAttention(width, config.attention_heads, config.dropout)
        self.feed_forward = FeedForward(width, width // 4, config.dropout)
        self.norm1 = Float32LayerNorm(width, eps=1e-12)
        self.norm2 = Float32LayerNorm(width, eps=1e-12)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, segments: Segments) -> Tensor:
        h = x + self.dropout(self.self_attn(self.norm1(x), segments))
        return h + self.dropout(self.feed_forward(self.norm2(h)))  # type: ignore[no-any-return]


class TransformerAdaptor(nn.Module):
    """Encoder frames, grouped by `downsample_rate`, to frames of width `llm_dim`.

    forward(frames [N, encoder_dim], segments) -> ([M, llm_dim], segments after grouping). The last group of a
    segment is filled with zeros, so that a segment gives the same frames alone and in a batch. (Upstream lets
    whatever follows a shorter row in its padded batch leak into that group.)
    """

    def __init__(self, config: AdaptorConfig) -> None:
        super().__init__()
        self.config = config
        self.linear1 = nn.Linear(config.encoder_dim * config.downsample_rate, config.ffn_dim)
        self.linear2 = nn.Linear(config.ffn_dim, config.llm_dim)
        self.blocks = nn.ModuleList(AdaptorBlock(config) for _ in range(config.n_layer))
        self.activation_checkpointing = False

    def forward(self, frames: Tensor, segments: Segments) -> tuple[Tensor, Segments]:
        grouped, segments = self.group(frames, segments)
        x = self.linear2(self.linear1(grouped).relu())
        for block in self.blocks:
            if self.activation_checkpointing and self.training:
                x = checkpoint(block, x, segments, use_reentrant=False)
            else:
                x = block(x, segments)
        return x, segments

    def group(self, frames: Tensor, segments: Segments) -> tuple[Tensor, Segments]:
        """Lay `downsample_rate` neighbouring frames of a segment side by side."""
        rate = self.config.downsample_rate
        if rate == 1:
            return frames, segments
        filled = torch.cat([F.pad(s, (0, 0, 0, -len(s) % rate)) for s in frames.split(segments.lengths)])
        lengths = [(n - 1) // rate + 1 for n in segments.lengths]
        return filled.view(-1, rate * frames.shape[1]), Segments(lengths, segments.device)
