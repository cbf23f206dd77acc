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

    def forward(self, x: Tensor, turn: Tensor, window: Tensor, memory: Memory | None) -> Tensor:
        """x: [batch, steps, width]; turn: rotation of each step; window: see `sliding_window`."""
        query, key, value = F.linear(x, self.in_proj_weight).unflatten(-1, (3, self.heads, -1)).unbind(2)
        query, key = rotate(query, turn), rotate(key, turn)
        if memory is not None:
            known = torch.stack([key, value])
            if self in memory.kept:
                known = torch.cat([memory.kept[self].transpose(0, 1), known], 2)
            memory.kept[self] = known[:, :, max(0, known.shape[2] - self.context + 1) :].transpose(0, 1).clone()
            key, value = known
        query, key, value = (part.transpose(1, 2) for part in (query, key, value))
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=window)
        return self.out_proj(attended.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class LayerScale(nn.Module):
    """A learnt factor a channel."""

    def __init__(self, width: int, initial: float) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((width,), initial))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale


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
        self.layer_scale_1 = nn.Identity() if scale is None else LayerScale(width, scale)
        self.layer_scale_2 = nn.Identity() if scale is None else LayerScale(width, scale)

    def forward(self, x: Tensor, turn: Tensor, window: Tensor, memory: Memory | None) -> Tensor:
        x = x + self.layer_scale_1(self.self_attn(self.norm1(x), turn, window, memory))
        return x + self.layer_scale_2(self.linear2(F.gelu(self.linear1(self.norm2(x)))))  # type: ignore[no-any-return]


class WindowedTransformer(nn.Module):
    """forward(x [batch, dimension, steps]) -> the same shape."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        layers = [Layer(config) for _ in range(config.num_layers)]
        self.transformer = nn.ModuleDict({"layers": nn.ModuleList(layers)})
        dimension, width = config.input_dimension, config.d_model
        same = dimension == width
        self.input_proj = nn.Identity() if same else nn.Linear(dimension, width, bias=False)
        self.output_projs = nn.ModuleList([nn.Identity() if same else nn.Linear(width, dimension, bias=False)])

    def forward(self, x: Tensor, memory: Memory | None = None) -> Tensor:
        config, steps = self.config, x.shape[-1]
        before = memory.steps if memory is not None else 0
        position = torch.arange(before, before + steps, device=x.device)
        turn = rotation(position, config.d_model // config.num_heads, config.max_period)
        window = sliding_window(steps, min(before, config.context - 1), config.context, x.device)
        x = self.input_proj(x.transpose(1, 2))
        for layer in self.transformer["layers"].children():
            x = layer(x, turn, window, memory)
        if memory is not None:
            memory.steps += steps
        return self.output_projs[0](x).transpose(1, 2)  # type: ignore[no-any-return]


def sliding_window(new: int, known: int, context: int, device: torch.device) -> Tensor:
    """Which steps each new step sees, bool [new, known + new]: itself and the `context - 1` before it."""
    query = torch.arange(known, known + new, device=device)[:, None]
    distance = query - torch.arange(known + new, device=device)
    return (distance >= 0) & (distance < context)
