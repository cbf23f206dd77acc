"""The SAN-M speech encoder (self-attention with a depthwise memory branch), over packed segments.

Source of the numbers: funasr/models/sense_voice/model.py (`SenseVoiceEncoderSmall`). Parameter names are upstream's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from voxtune.parts.attention import Segments, packed_attention


@dataclass(frozen=True)
class SanmConfig:
    """Sizes of the encoder; the defaults are those of the published Fun-ASR-Nano."""

    input_size: int = 560
    output_size: int = 512
    attention_heads: int = 4
    linear_units: int = 2048
    num_blocks: int = 50
    tp_blocks: int = 20
    kernel_size: int = 11
    shift: int = 0
    dropout: float = 0.1
    attention_dropout: float = 0.1


class Float32LayerNorm(nn.LayerNorm):
    """Layer norm computed in float32 whatever the input's type."""

    def forward(self, input: Tensor) -> Tensor:
        weight, bias = self.weight.float(), self.bias.float()
        return F.layer_norm(input.float(), self.normalized_shape, weight, bias, self.eps).to(input.dtype)


class FeedForward(nn.Module):
    """Linear, ReLU, dropout, linear."""

    def __init__(self, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.w_1 = nn.Linear(width, hidden)
        self.w_2 = nn.Linear(hidden, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.w_2(self.dropout(self.w_1(x).relu()))  # type: ignore[no-any-return]


class SanmAttention(nn.Module):
    """Self-attention plus a depthwise convolution over the values, both inside each segment."""

    def __init__(self, input_size: int, config: SanmConfig) -> None:
        super().__init__()
        width = config.output_size
        self.heads = config.attention_heads
        self.linear_q_k_v = nn.Linear(input_size, 3 * width)
        self.linear_out = nn.Linear(width, width)
        self.fsmn_block = nn.Conv1d(width, width, config.kernel_size, groups=width, bias=False)
        self.left = (config.kernel_size - 1) // 2 + config.shift
        self.dropout = config.attention_dropout

    def forward(self, x: Tensor, segments: Segments) -> Tensor:
        q, k, v = self.linear_q_k_v(x).chunk(3, -1)
        dropout = self.dropout if self.training else 0.0
        by_head = (x.shape[0], self.heads, -1)
        attended = packed_attention(q.view(by_head), k.view(by_head), v.view(by_head), segments, dropout=dropout)
        memory = F.dropout(self.memory(v, segments) + v, dropout)
        return self.linear_out(attended.flatten(1)) + memory  # type: ignore[no-any-return]

    def memory(self, values: Tensor, segments: Segments) -> Tensor:
        """Depthwise convolution of each segment, [frames, width] -> [frames, width].

        Zeros between neighbours, as many as the kernel reaches, make one convolution serve all segments.
        """
        right = self.fsmn_block.kernel_size[0] - 1 - self.left
        gap = max(self.left, right)
        rows = torch.arange(segments.total, device=values.device) + gap * segments.index
        spread = values.new_zeros(segments.total + gap * len(segments.lengths), values.shape[1])
        spread = spread.index_copy(0, rows, values)
        return self.fsmn_block(F.pad(spread.T, (self.left, right)))[:, rows].T  # type: ignore[no-any-return]


class SanmBlock(nn.Module):
    """Pre-norm SAN-M layer. No residual around the attention when its widths differ."""

    def __init__(self, input_size: int, config: SanmConfig) -> None:
        super().__init__()
        self.self_attn = SanmAttention(input_size, config)
        self.feed_forward = FeedForward(config.output_size, config.linear_units, config.dropout)
        self.norm1 = Float32LayerNorm(input_size)
        self.norm2 = Float32LayerNorm(config.output_size)
        self.dropout = nn.Dropout(config.dropout)
        self.residual = input_size == config.output_size

    def forward(self, x: Tensor, segments: Segments) -> Tensor:
        attended = self.dropout(self.self_attn(self.norm1(x), segments))
        h = x + attended if self.residual else attended
        return h + self.dropout(self.feed_forward(self.norm2(h)))  # type: ignore[no-any-return]


class SanmEncoder(nn.Module):
    """Stacked log-mel frames to encoder frames, one for one.

    forward(frames [N, input_size], segments) -> [N, output_size].
    """

    def __init__(self, config: SanmConfig) -> None:
        super().__init__()
        self.config = config
        self.encoders0 = nn.ModuleList([SanmBlock(config.input_size, config)])
        self.encoders = nn.ModuleList(SanmBlock(config.output_size, config) for _ in range(config.num_blocks - 1))
        self.tp_encoders = nn.ModuleList(SanmBlock(config.output_size, config) for _ in range(config.tp_blocks))
        self.after_norm = Float32LayerNorm(config.output_size)
        self.tp_norm = Float32LayerNorm(config.output_size)
        self.activation_checkpointing = False

    def forward(self, frames: Tensor, segments: Segments) -> Tensor:
        positions = sinusoids(segments.position + 1, frames.shape[1])
        x = frames * self.config.output_size**0.5 + positions.to(frames.dtype)
        for block in [*self.encoders0, *self.encoders]:
            x = self._run(block, x, segments)
        x = self.after_norm(x)
        for block in self.tp_encoders:
            x = self._run(block, x, segments)
        return self.tp_norm(x)  # type: ignore[no-any-return]

    def _run(self, block: nn.Module, x: Tensor, segments: Segments) -> Tensor:
        if self.activation_checkpointing and self.training:
            return checkpoint(block, x, segments, use_reentrant=False)  # type: ignore[no-any-return]
        return block(x, segments)  # type: ignore[no-any-return]


def sinusoids(positions: Tensor, width: int) -> Tensor:
    """Sine half then cosine half of each position: [positions, width], float32."""
    half = width // 2
    exponents = torch.arange(half, dtype=torch.float32, device=positions.device)
    angles = positions[:, None] * torch.exp(exponents * (-math.log(10000.0) / (half - 1)))
    return torch.cat([angles.sin(), angles.cos()], 1)
