"""The temporal transformer: one position a frame of 80 ms."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from voxtune.families.moshi.config import LmConfig, Norm
from voxtune.parts.attention import Segments, packed_attention
from voxtune.parts.gated_transformer import RmsNorm, gate, gated_width
from voxtune.parts.rotary import rotate, rotation


def normalisation(kind: Norm, width: int) -> nn.Module:
    """A normalisation by upstream's name for it."""
    return nn.LayerNorm(width, eps=1e-5) if kind == "layer_norm" else RmsNorm(width, kind)


class Cache:
    """Keys and values of the newest frames of a batch of dialogues, at most a window of them.

    Keys carry their rotation, so that their order in the ring does not matter.
    """

    def __init__(self, config: LmConfig, batch: int, like: Tensor, most: int | None = None) -> None:
        """`like`: a tensor of the type and on the device of the states; `most`: frames that will come at most."""
        heads = config.num_heads
        window = min(most or config.context, config.context)
        shape = (config.num_layers, 2, batch, window, heads // config.kv_repeat, config.dim // heads)
        self.states = like.new_zeros(shape)
        self.frames = 0

    def store(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Put [batch, new, heads, width] behind what is there; returns what the newest frame sees."""
        window = self.states.shape[3]
        new = key.shape[1]
        first = max(self.frames, self.frames + new - window)
        keys, values = self.states[layer].unbind()
        if new == 1:
            slot = first % window
            keys[:, slot], values[:, slot] = key[:, 0], value[:, 0]
        else:
            slots = torch.arange(first, self.frames + new, device=key.device) % window
            keys.index_copy_(1, slots, key[:, -window:])
            values.index_copy_(1, slots, value[:, -window:])
        seen = min(self.frames + new, window)
        return keys[:, :seen], values[:, :seen]


class Attention(nn.Module):
    """Causal attention over a window, with interleaved rotary positions."""

    def __init__(self, config: LmConfig) -> None:
        super().__init__()
        self.heads, self.repeat, self.window = config.num_heads, config.kv_repeat, config.context
        self.width = config.dim // config.num_heads
        rows = config.dim + 2 * config.dim // config.kv_repeat
        self.in_proj = nn.Linear(config.dim, rows, bias=False)
        self.out_proj = nn.Linear(config.dim, config.dim, bias=False)

    def project(self, states: Tensor, turn: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values [..., heads, width], turned by their positions."""
        heads = [self.heads, self.heads // self.repeat]
        turned, value = self.in_proj(states).unflatten(-1, (-1, self.width)).split([sum(heads), heads[1]], -2)
        query, key = rotate(turned, turn).split(heads, -2)
        return query, key, value

    def forward(self, states: Tensor, turn: Tensor, segments: Segments) -> Tensor:
        """Packed frames [frames, dim]."""
        query, key, value = self.project(states, turn)
        return self._out(packed_attention(query, key, value, segments, causal=True, window=self.window))

    def prefill(self, states: Tensor, turn: Tensor, segments: Segments, cache: Cache, layer: int) -> Tensor:
        """As `forward`, for a batch of equally long prompts whose keys and values are kept."""
        query, key, value = self.project(states, turn)
        shape = (len(segments.lengths), segments.lengths[0])
        cache.store(layer, key.unflatten(0, shape), value.unflatten(0, shape))
        return self._out(packed_attention(query, key, value, segments, causal=True, window=self.window))

    def step(self, states: Tensor, turn: Tensor, cache: Cache, layer: int) -> Tensor:
        """One more frame of each dialogue, [batch, dim]."""
        query, key, value = self.project(states, turn)
        keys, values = cache.store(layer, key[:, None], value[:, None])
        attended = F.scaled_dot_product_attention(
            query[:, :, None], keys.transpose(1, 2), values.transpose(1, 2), enable_gqa=self.repeat > 1
        )
        return self._out(attended[:, :, 0])

    def _out(self, attended: Tensor) -> Tensor:
        projected: Tensor = self.out_proj(attended.flatten(-2))
        return projected


class Gating(nn.Module):
    """Feed-forward layer whose first half gates the second."""

    def __init__(self, width: int, rows: int) -> None:
        super().__init__()
        self.linear_in = nn.Linear(width, 2 * rows, bias=False)
        self.linear_out = nn.Linear(rows, width, bias=False)

    def forward(self, states: Tensor) -> Tensor:
        """[..., width] to [..., width]."""
        result: Tensor = self.linear_out(gate(self.linear_in(states)))
        return result


class Layer(nn.Module):
    """Attention, then gating, each behind its normalisation and beside an identity."""

    def __init__(self, config: LmConfig) -> None:
        super().__init__()
        self.norm1, self.norm2 = normalisation(config.norm, config.dim), normalisation(config.norm, config.dim)
        self.self_attn = Attention(config)
        self.gating = Gating(config.dim, gated_width(int(config.hidden_scale * config.dim), config.dim))

    def forward(self, states: Tensor, turn: Tensor, segments: Segments) -> Tensor:
        """Packed frames [frames, dim]."""
        return self._rest(states, self.self_attn(self.norm1(states), turn, segments))

    def prefill(self, states: Tensor, turn: Tensor, segments: Segments, cache: Cache, number: int) -> Tensor:
        """As `forward`, keeping keys and values."""
        return self._rest(states, self.self_attn.prefill(self.norm1(states), turn, segments, cache, number))

    def step(self, states: Tensor, turn: Tensor, cache: Cache, number: int) -> Tensor:
        """One more frame, [batch, dim]."""
        return self._rest(states, self.self_attn.step(self.norm1(states), turn, cache, number))

    def _rest(self, states: Tensor, attended: Tensor) -> Tensor:
        states = states + attended
        result: Tensor = states + self.gating(self.norm2(states))
        return result


class TemporalTransformer(nn.Module):
    """Frames in, what predicts the next one out (before the last normalisation)."""

    def __init__(self, config: LmConfig) -> None:
        super().__init__()
        self.width, self.max_period = config.dim // config.num_heads, config.max_period
        self.layers = nn.ModuleList([Layer(config) for _ in range(config.num_layers)])
        self.activation_checkpointing = False

    def forward(self, states: Tensor, segments: Segments) -> Tensor:
        """Packed frames [frames, dim]."""
        turn = self._turn(segments.position)
        for layer in self.layers:
            if self.activation_checkpointing and self.training:
                states = checkpoint(layer, states, turn, segments, use_reentrant=False)
            else:
                states = layer(states, turn, segments)
        return states

    def prefill(self, states: Tensor, cache: Cache) -> Tensor:
        """The first frames of a batch of dialogues, [batch, frames, dim]."""
        batch, frames = states.shape[:2]
        segments = Segments([frames] * batch, states.device)
        packed, turn = states.flatten(0, 1), self._turn(segments.position)
        for number, layer in enumerate(cast("list[Layer]", self.layers)):
            packed = layer.prefill(packed, turn, segments, cache, number)
        cache.frames += frames
        result: Tensor = packed.unflatten(0, (batch, frames))
        return result

    def step(self, states: Tensor, cache: Cache) -> Tensor:
        """One more frame of each dialogue, [batch, dim]."""
        turn = self._turn(torch.full((), cache.frames, device=states.device))  # does not wait for the device
        for number, layer in enumerate(cast("list[Layer]", self.layers)):
            states = layer.step(states, turn, cache, number)
        cache.frames += 1
        return states

    def _turn(self, position: Tensor) -> Tensor:
        return rotation(position, self.width, self.max_period)
