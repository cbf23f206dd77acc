"""Causal convolutions over [batch, channels, steps], whole or piece by piece.

Source of the numbers: kyutai-labs/moshi 0.2.13, modules/conv.py and modules/resample.py.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from voxtune.parts.mimi.memory import Memory


class CausalConv(nn.Module):
    """Convolution of a step and what lies before it; before the first step lie zeros, or `replicate`: its value.

    forward(x [batch, inputs, steps]) -> [batch, outputs, steps / stride], steps being a multiple of the stride.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        bias: bool = True,
        replicate: bool = False,
    ) -> None:
        super().__init__()
        self.conv = nn.ModuleDict({"conv": nn.Conv1d(inputs, outputs, kernel, stride, dilation=dilation, bias=bias)})
        self.reach = (kernel - 1) * dilation + 1 - stride
        self.replicate = replicate

    def forward(self, x: Tensor, memory: Memory | None = None) -> Tensor:
        if self.reach > 0:
            past = memory.kept.get(self) if memory is not None else None
            if past is None:
                past = x[..., :1] if self.replicate else x.new_zeros(1, 1, 1)
                past = past.expand(*x.shape[:2], self.reach)
            x = torch.cat([past, x], -1)
            if memory is not None:
                memory.kept[self] = x[..., -self.reach :].clone()
        return self.conv["conv"](x)  # type: ignore[no-any-return]


class CausalTransposedConv(nn.Module):
    """Transposed convolution with a kernel of two strides, of which the part behind the last step is left away.

    forward(x [batch, inputs, steps]) -> [batch, outputs, steps * stride].
    """

    def __init__(self, inputs: int, outputs: int, stride: int, *, groups: int = 1, bias: bool = True) -> None:
        super().__init__()
        layer = nn.ConvTranspose1d(inputs, outputs, 2 * stride, stride, groups=groups, bias=bias)
        self.convtr = nn.ModuleDict({"convtr": layer})
        self.stride = stride

    def forward(self, x: Tensor, memory: Memory | None = None) -> Tensor:
        y: Tensor = self.convtr["convtr"](x)
        y, tail = y.split([y.shape[-1] - self.stride, self.stride], -1)
        if memory is None:
            return y
        if self in memory.kept:
            y[..., : self.stride] += memory.kept[self]
        bias = self.convtr["convtr"].bias
        memory.kept[self] = tail - bias[:, None] if isinstance(bias, Tensor) else tail.clone()
        return y
