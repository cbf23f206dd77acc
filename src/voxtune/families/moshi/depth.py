"""The depth transformer: in each frame, one code after the other, with weights of their own for each step."""

from __future__ import annotations

from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from voxtune.families.moshi.config import LmConfig
from voxtune.families.moshi.temporal import normalisation
from voxtune.parts.gated_transformer import gate
from voxtune.parts.step_linear import StepLinear


class DepthAttention(nn.Module):
    """Causal attention among the steps of a frame, without positions."""

    def __init__(self, config: LmConfig) -> None:
        super().__init__()
        self.heads, self.repeat = config.depformer_num_heads, config.depformer_kv_repeat or config.kv_repeat
        self.width = config.depformer_dim // self.heads
        dim = config.depformer_dim
        self.in_proj = StepLinear(config.schedule, dim, dim + 2 * dim // self.repeat)
        self.out_proj = StepLinear(config.schedule, dim, dim)

    def _split(self, projected: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        sizes = [self.heads, self.heads // self.repeat, self.heads // self.repeat]
        query, key, value = projected.unflatten(-1, (-1, self.width)).split(sizes, -2)
        return query, key, value

    def forward(self, states: Tensor) -> Tensor:
        """[steps, frames, dim]."""
        query, key, value = (part.permute(1, 2, 0, 3) for part in self._split(self.in_proj(states)))
        attended = F.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=self.repeat > 1)
        result: Tensor = self.out_proj(attended.permute(2, 0, 1, 3).flatten(-2))
        return result

    def step(self, number: int, states: Tensor, memory: Tensor) -> Tensor:
        """One step, [batch, dim]; `memory`: keys and values [2, batch, heads, steps, width] of the steps before it, to
        which its own are added."""
        query, key, value = self._split(self.in_proj.at(number, states))
        keys, values = memory.unbind()
        keys[:, :, number], values[:, :, number] = key, value
        seen = slice(number + 1)
        attended = F.scaled_dot_product_attention(
            query[:, :, None], keys[:, :, seen], values[:, :, seen], enable_gqa=self.repeat > 1
        )
        result: Tensor = self.out_proj.at(number, attended[:, :, 0].flatten(-2))
        return result


class DepthGating(nn.Module):
    """Gated feed-forward layers, one a weight set; narrower ones are filled up with zeros, which stay zero."""

    def __init__(self, config: LmConfig) -> None:
        super().__init__()
        rows = max(config.depth_widths)
        self.linear_in = StepLinear(config.schedule, config.depformer_dim, 2 * rows)
        self.linear_out = StepLinear(config.schedule, rows, config.depformer_dim)

    def forward(self, states: Tensor) -> Tensor:
        """[steps, frames, dim]."""
        result: Tensor = self.linear_out(gate(self.linear_in(states)))
        return result

    def step(self, number: int, states: Tensor) -> Tensor:
        """One step, [batch, dim]."""
        result: Tensor = self.linear_out.at(number, gate(self.linear_in.at(number, states)))
        return result


class DepthLayer(nn.Module):
    """Attention, then gating, each behind a normalisation that all steps share."""

    def __init__(self, config: LmConfig) -> None:
        super().__init__()
        self.norm1 = normalisation(config.norm, config.depformer_dim)
        self.norm2 = normalisation(config.norm, config.depformer_dim)
        self.self_attn = DepthAttention(config)
        self.gating = DepthGating(config)

    def forward(self, states: Tensor) -> Tensor:
        """[steps, frames, dim]."""
        states = states + self.self_attn(self.norm1(states))
        result: Tensor = states + self.gating(self.norm2(states))
        return result

    def step(self, number: int, states: Tensor, memory: Tensor) -> Tensor:
        """One step, [batch, dim]."""
        states = states + self.self_attn.step(number, self.norm1(states), memory)
        return states + self.gating.step(number, self.norm2(states))


class DepthTransformer(nn.Module):
    """All steps of many frames at once, as one batched product a layer; or step by step."""

    def __init__(self, config: LmConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList([DepthLayer(config) for _ in range(config.depformer_num_layers)])
        self.activation_checkpointing = False

    def forward(self, states: Tensor) -> Tensor:
        """[steps, frames, dim]."""
        for layer in self.layers:
            if self.activation_checkpointing and self.training:
                states = checkpoint(layer, states, use_reentrant=False)
            else:
                states = layer(states)
        return states

    def memory(self, states: Tensor, steps: int) -> Tensor:
        """Room for the keys and values of a frame's steps, for a batch of states [batch, ...] of any width."""
        layers = cast("list[DepthLayer]", self.layers)
        attention = layers[0].self_attn
        heads = attention.heads // attention.repeat
        return states.new_empty(len(layers), 2, len(states), heads, steps, attention.width)

    def step(self, number: int, states: Tensor, memory: Tensor) -> Tensor:
        """One step, [batch, dim]; `memory`: made for the frame, filled by its steps in their order."""
        for layer, own in zip(cast("list[DepthLayer]", self.layers), memory, strict=True):
            states = layer.step(number, states, own)
        return states
