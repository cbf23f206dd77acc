"""The transformers of Mimi: causal attention through a sliding window, whole or piece by piece.

Source of the numbers: kyutai-labs/moshi, modules/transformer.py and modules/rope.py.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from voxtune.parts.mimi.config import TransformerConfig
from voxtune.parts.mimi.memory import Memory
from voxtune.parts.rotary import rotate, rotation

Window = tuple[slice, slice, Tensor]
"""Queries, the keys that some of them see, and what is added to scores: zero, or -infinity where a key is hidden."""


class WindowedAttention(nn.Module):
    """Self-attention over the last `context` steps. Remembers keys and values of `context - 1` steps.

    So many are enough however many new steps come at once: upstream keeps one too few for the first of several.
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.heads = config.num_heads
        self.context = config.context
        self.in_proj_weight = nn.Parameter(nn.Linear(config.d_model, 3 * config.d_model, bias=False).weight.detach())
        self.out_proj = nn.Linear(config.d_model, config.d_model, bias=False)

    def forward(self, x: Tensor, turn: Tensor, windows: list[Window], memory: Memory) -> Tensor:
        """x: [batch, steps, width]; turn: rotation of each step."""
        projected = F.linear(x, self.in_proj_weight).unflatten(-1, (3 * self.heads, -1))
        query, key = rotate(projected[:, :, : 2 * self.heads], turn).chunk(2, 2)
        known = torch.stack([key, projected[:, :, 2 * self.heads :]], 2)
        if self in memory.past:
            known = torch.cat([memory.past[self], known], 1)
        if self.context > 1:
            memory.past[self] = known[:, 1 - self.context :].clone()
        key, value = known.transpose(1, 3).unbind(2)
        query = query.transpose(1, 2)
        attended = [
            F.scaled_dot_product_attention(query[:, :, asks], key[:, :, seen], value[:, :, seen], attn_mask=mask)
            for asks, seen, mask in windows
        ]
        return self.out_proj(torch.cat(attended, 2).transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class LayerScale(nn.Module):
    """Adds a branch times a learnt factor a channel; without an initial factor, the branch as it is."""

    def __init__(self, width: int, initial: float | None) -> None:
        super().__init__()
        self.scale = None if initial is None else nn.Parameter(torch.full((width,), initial))

    def forward(self, x: Tensor, branch: Tensor) -> Tensor:
        return x + branch if self.scale is None else torch.addcmul(x, branch, self.scale)


class Layer(nn.Module):
    """Pre-norm attention and feed-forward, each scaled a channel before it is added."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        width, scale = config.d_model, config.layer_scale
        self.self_attn = WindowedAttention(config)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.linear1 = nn.Linear(width, config.dim_feedforward, bias=False)
        self.linear2 = nn.Linear(config.dim_feedforward, width, bias=False)
        self.layer_scale_1 = LayerScale(width, scale)
        self.layer_scale_2 = LayerScale(width, scale)

    def forward(self, x: Tensor, turn: Tensor, windows: list[Window], memory: Memory) -> Tensor:
        x = self.layer_scale_1(x, self.self_attn(self.norm1(x), turn, windows, memory))
        return self.layer_scale_2(x, self.linear2(F.gelu(self.linear1(self.norm2(x)))))  # type: ignore[no-any-return]


class WindowedTransformer(nn.Module):
    """forward(x [batch, steps, dimension]) -> the same shape."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        layers = [Layer(config) for _ in range(config.num_layers)]
        self.transformer = nn.ModuleDict({"layers": nn.ModuleList(layers)})
        dimension, width = config.input_dimension, config.d_model
        same = dimension == width
        self.input_proj = nn.Identity() if same else nn.Linear(dimension, width, bias=False)
        self.output_projs = nn.ModuleList([nn.Identity() if same else nn.Linear(width, dimension, bias=False)])

    def forward(self, x: Tensor, memory: Memory) -> Tensor:
        config, steps = self.config, x.shape[1]
        position = torch.arange(memory.steps, memory.steps + steps, device=x.device)
        turn = rotation(position, config.d_model // config.num_heads, config.max_period)
        windows = sliding_windows(steps, min(memory.steps, config.context - 1), config.context, x)
        memory.steps += steps
        x = self.input_proj(x)
        for layer in self.transformer["layers"].children():
            x = layer(x, turn, windows, memory)
        return self.output_projs[0](x)  # type: ignore[no-any-return]


def sliding_windows(new: int, known: int, context: int, like: Tensor) -> list[Window]:
    """Attention of `new` steps, each to itself and the `context - 1` before it, in blocks of queries.

    `known` steps lie before them among the keys. Blocks keep memory in proportion to the steps, not to their square;
    those of half a context were the fastest.
    """
    windows = []
    block = -(-context // 2)
    for start in range(0, new, block):
        end = min(start + block, new)
        first = max(0, known + start - context + 1)
        query = torch.arange(known + start, known + end, device=like.device)[:, None]
        distance = query - torch.arange(first, known + end, device=like.device)
        hidden = (distance < 0) | (distance >= context)
        mask = like.new_zeros(hidden.shape).masked_fill_(hidden, -torch.inf)
        windows.append((slice(start, end), slice(first, known + end), mask))
    return windows
