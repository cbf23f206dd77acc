"""Causal convolutions over [batch, steps, channels], whole or piece by piece, as matrix products.

Each product makes several output steps at once from one window of the signal laid flat: with few channels a matrix of
one step alone would be too small to be fast. Source of the numbers: kyutai-labs/moshi 0.2.13, modules/conv.py.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from voxtune.parts.mimi.memory import Memory

ROWS = 32
"""Output numbers that a window makes at least, where the number of steps allows it."""

LOG2_E = math.log2(math.e)


class Causal(nn.Module):
    """A layer that looks back `reach` steps; `elu`: it takes the ELU of its input; `replicate`: the first step lies
    before itself, where else zeros lie."""

    def __init__(self, reach: int, *, elu: bool, replicate: bool = False) -> None:
        super().__init__()
        self.reach = reach
        self.elu = elu
        self.replicate = replicate

    def recall(self, x: Tensor, memory: Memory, room: int) -> Tensor:
        """The input [batch, steps, inputs] behind `room` steps, of which the last `reach` are its past."""
        if room == 0 and not self.elu:
            return x
        laid = x.new_empty(len(x), room + x.shape[1], x.shape[2])
        now = laid[:, room:]
        if self.elu:
            write_elu(x, now)
        else:
            now.copy_(x)
        past = memory.past.get(self)
        if past is None:
            laid[:, :room] = now[:, :1] if self.replicate else 0.0
        else:
            laid[:, : room - self.reach] = 0.0
            laid[:, room - self.reach : room] = past
        if self.reach:
            memory.past[self] = laid[:, -self.reach :].clone()
        return laid


class CausalConv(Causal):
    """Convolution of a step and what lies before it.

    forward(x [batch, steps, inputs]) -> [batch, steps / stride, outputs], steps being a multiple of the stride.
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
        elu: bool = False,
        replicate: bool = False,
    ) -> None:
        super().__init__((kernel - 1) * dilation + 1 - stride, elu=elu, replicate=replicate)
        layer = nn.Conv1d(inputs, outputs, kernel, stride, dilation=dilation, bias=bias)
        self.conv = nn.ModuleDict({"conv": layer})
        self.stride = stride
        self.dilation = dilation
        self.outputs = outputs

    def forward(self, x: Tensor, memory: Memory, onto: Tensor | None = None) -> Tensor:
        """The output is added to `onto` where that is given."""
        steps = x.shape[1] // self.stride
        together = math.gcd(steps, max(1, ROWS // self.outputs))
        step = self.stride * together
        laid = self.recall(x, memory, -(-self.reach // step) * step)
        weight, bias = memory.arranged((self, together), lambda: self.arrange(together))
        bias = bias.expand(len(x), steps // together, -1) if onto is None else bias + onto.view(len(x), -1, len(bias))
        return product(laid, step, weight, bias).view(len(x), steps, self.outputs)

    def arrange(self, together: int) -> tuple[Tensor, ...]:
        """Weight [together * outputs, window * inputs] of `together` output steps of one window, and their bias."""
        layer = self.conv["conv"]
        weight = spread(layer.weight, self.dilation).transpose(1, 2)
        late = self.stride * (together - 1)
        shifted = [F.pad(weight, (0, 0, number, late - number)) for number in range(0, late + 1, self.stride)]
        bias = weight.new_zeros(self.outputs) if layer.bias is None else layer.bias
        return torch.stack(shifted).flatten(2).flatten(0, 1), bias.repeat(together)


class CausalTransposedConv(Causal):
    """Transposed convolution with a kernel of two strides: a step and the one before it make `stride` output steps.

    What the last step adds beyond them is left away. forward(x [batch, steps, inputs]) -> [batch, steps * stride,
    outputs].
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__(1, elu=True)
        self.convtr = nn.ModuleDict({"convtr": nn.ConvTranspose1d(inputs, outputs, 2 * stride, stride)})
        self.outputs = outputs

    def forward(self, x: Tensor, memory: Memory) -> Tensor:
        weight, bias = memory.arranged(self, self.arrange)
        made = product(self.recall(x, memory, 1), 1, weight, bias.expand(*x.shape[:2], -1))
        return made.view(len(x), -1, self.outputs)

    def arrange(self) -> tuple[Tensor, ...]:
        """Weight [stride * outputs, 2 * inputs] of the step before and the step itself, and bias [stride * outputs]."""
        layer = self.convtr["convtr"]
        itself, before = layer.weight.permute(2, 1, 0).chunk(2)
        return torch.cat([before, itself], 2).flatten(0, 1), layer.bias.repeat(len(itself))


class Upsampling(Causal):
    """Transposed convolution of each channel by itself, without bias. forward as `CausalTransposedConv`."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__(1, elu=False)
        layer = nn.ConvTranspose1d(channels, channels, 2 * stride, stride, groups=channels, bias=False)
        self.convtr = nn.ModuleDict({"convtr": layer})

    def forward(self, x: Tensor, memory: Memory) -> Tensor:
        x = self.recall(x, memory, 1)[:, :, None]
        itself, before = self.convtr["convtr"].weight.permute(2, 1, 0).flatten(1).chunk(2)
        return (x[:, 1:] * itself + x[:, :-1] * before).flatten(1, 2)


def product(laid: Tensor, step: int, weight: Tensor, bias: Tensor) -> Tensor:
    """Each window of `laid` [batch, steps, inputs], made flat, times weight [outputs, window], plus bias.

    bias and the result: [batch, windows, outputs]. The windows begin `step` steps apart and overlap; the last ends
    where `laid` ends. They are cut every `step` steps, so that each part is a matrix that lies in `laid` as it is.
    """
    blocks = laid.view(len(laid), -1, step * laid.shape[2])
    count, width = bias.shape[1], blocks.shape[2]
    for first in range(blocks.shape[1] - count + 1):
        end = weight.shape[1] - width * (blocks.shape[1] - count - first)
        part = weight[:, max(0, end - width) : end].T.expand(len(laid), -1, -1)
        piece = blocks[:, first : first + count, -part.shape[1] :]
        bias = torch.baddbmm(bias, piece, part) if first == 0 else bias.baddbmm_(piece, part)
    return bias


def write_elu(x: Tensor, out: Tensor) -> None:
    """ELU of x. On a CPU by powers of two: within 1e-7 of torch's own at less than half its time."""
    if x.device.type != "cpu" or torch.is_grad_enabled():
        out.copy_(F.elu(x))
    else:
        torch.mul(x, LOG2_E, out=out).clamp_(max=0).exp2_().sub_(1)
        torch.maximum(x, out, out=out)


def spread(weight: Tensor, dilation: int) -> Tensor:
    """The kernel [outputs, inputs, taps] with `dilation - 1` zeros between its taps."""
    if dilation == 1:
        return weight
    apart = F.pad(weight[..., None], (0, dilation - 1)).flatten(2)
    return apart[..., : apart.shape[2] - dilation + 1]
