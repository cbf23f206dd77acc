"""Causal convolutions over [batch, steps, channels], whole or piece by piece, as matrix products.

The signal lies step after step, so a window of it is a row of numbers, and neighbouring windows are a matrix that
need not be copied together. Source of the numbers: kyutai-labs/moshi 0.2.13, modules/conv.py and modules/resample.py.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from voxtune.parts.mimi.memory import Memory

OUTPUTS = 16
"""Numbers that a window makes at least, by making several steps: products with smaller matrices are slow."""

LOG2_E = math.log2(math.e)


class Causal(nn.Module):
    """A layer that looks back `reach` steps; `elu`: it takes the ELU of its input; `replicate`: the first step lies
    before itself, where else zeros lie."""

    def __init__(self, reach: int, *, elu: bool, replicate: bool = False) -> None:
        super().__init__()
        self.reach = reach
        self.elu = elu
        self.replicate = replicate

    def recall(self, x: Tensor, memory: Memory, step: int) -> Tensor:
        """The signal [batch, steps, inputs] behind its past, in blocks of `step` steps: [batch, blocks, step * inputs].

        The past fills the end of as few blocks as hold it; what lies before it there is not written.
        """
        room = -(-self.reach // step) * step
        laid = x.new_empty(len(x), room + x.shape[1], x.shape[2])
        now = laid[:, room:]
        if self.elu:
            write_elu(x, now)
        else:
            now.copy_(x)
        if self.reach:
            past = memory.past.get(self)
            if past is None:
                past = now[:, :1] if self.replicate else now.new_zeros(1, 1, 1)
            laid[:, room - self.reach : room] = past
            memory.past[self] = laid[:, -self.reach :].clone()
        return laid.view(len(x), -1, step * x.shape[2])


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
        self.inputs, self.outputs = inputs, outputs
        self.stride, self.dilation = stride, dilation

    def forward(self, x: Tensor, memory: Memory, onto: Tensor | None = None) -> Tensor:
        """The output is added to `onto` where that is given."""
        batch, steps = len(x), x.shape[1] // self.stride
        together = math.gcd(steps, max(1, OUTPUTS // self.outputs))
        bias, *weights = memory.arranged((self, together), lambda: self.arrange(together))
        blocks = self.recall(x, memory, self.stride * together)
        if onto is None:
            out = bias.expand(batch, steps // together, -1).clone()
        else:
            out = onto.reshape(batch, -1, len(bias)) + bias
        return add_products(out, blocks, weights).view(batch, steps, self.outputs)

    def arrange(self, together: int) -> tuple[Tensor, ...]:
        """Bias and weights (see `add_products`) of windows that make `together` steps each."""
        layer: nn.Conv1d = self.conv["conv"]  # type: ignore[assignment]
        weight = spread(layer.weight, self.dilation).transpose(1, 2)
        late = self.stride * (together - 1)
        shifted = [F.pad(weight, (0, 0, number, late - number)) for number in range(0, late + 1, self.stride)]
        window = torch.stack(shifted).flatten(2).flatten(0, 1)
        bias = weight.new_zeros(self.outputs) if layer.bias is None else layer.bias
        return bias.repeat(together), *cut(window, self.stride * together * self.inputs)


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
        batch, steps, _ = x.shape
        bias, *weights = memory.arranged(self, self.arrange)
        out = add_products(bias.expand(batch, steps, -1).clone(), self.recall(x, memory, 1), weights)
        return out.view(batch, -1, self.outputs)

    def arrange(self) -> tuple[Tensor, ...]:
        """Bias and weights (see `add_products`) of the step before and of the step itself."""
        layer: nn.ConvTranspose1d = self.convtr["convtr"]  # type: ignore[assignment]
        itself, before = layer.weight.transpose(1, 2).chunk(2, 1)
        assert layer.bias is not None
        return layer.bias.repeat(itself.shape[1]), before.flatten(1), itself.flatten(1)


class Upsampling(Causal):
    """Transposed convolution of each channel by itself, without bias. forward as `CausalTransposedConv`."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__(1, elu=False)
        layer = nn.ConvTranspose1d(channels, channels, 2 * stride, stride, groups=channels, bias=False)
        self.convtr = nn.ModuleDict({"convtr": layer})

    def forward(self, x: Tensor, memory: Memory) -> Tensor:
        x = self.recall(x, memory, 1)[:, :, None]
        layer: nn.ConvTranspose1d = self.convtr["convtr"]  # type: ignore[assignment]
        itself, before = layer.weight.permute(2, 1, 0).flatten(1).chunk(2)
        return (x[:, 1:] * itself + x[:, :-1] * before).flatten(1, 2)


def add_products(out: Tensor, blocks: Tensor, weights: list[Tensor]) -> Tensor:
    """Add to each row of `out` [batch, windows, outputs], in place, its window times the weights.

    A window is as many neighbours among `blocks` [batch, windows + len(weights) - 1, width] as there are weights
    [width, outputs]; a weight of fewer rows is for the end of its block.
    """
    batch, count, _ = out.shape
    for first, weight in enumerate(weights):
        out.baddbmm_(blocks[:, first : first + count, -len(weight) :], weight.expand(batch, -1, -1))
    return out


def cut(window: Tensor, width: int) -> list[Tensor]:
    """Weight [outputs, window] as one of [width, outputs] for each of its blocks; the first may have fewer rows."""
    ends = range(window.shape[1], 0, -width)
    return [window[:, max(0, end - width) : end].T for end in reversed(ends)]


def spread(weight: Tensor, dilation: int) -> Tensor:
    """The kernel [outputs, inputs, taps] with `dilation - 1` zeros between its taps."""
    if dilation == 1:
        return weight
    apart = F.pad(weight[..., None], (0, dilation - 1)).flatten(2)
    return apart[..., : apart.shape[2] - dilation + 1]


def write_elu(x: Tensor, out: Tensor) -> None:
    """ELU of x. On a CPU by powers of two: within 1e-7 of torch's own in half its time."""
    if x.device.type != "cpu" or torch.is_grad_enabled():
        out.copy_(F.elu(x))
    else:
        torch.mul(x, LOG2_E, out=out).clamp_(max=0).exp2_().sub_(1)
        torch.maximum(x, out, out=out)
