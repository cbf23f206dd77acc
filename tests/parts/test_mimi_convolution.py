"""Mimi's convolutions against torch's own."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from voxtune.parts.mimi.convolution import CausalConv, CausalTransposedConv, Upsampling, write_elu
from voxtune.parts.mimi.memory import Memory

STEPS = 24


def signal(channels: int) -> Tensor:
    return torch.randn(2, STEPS, channels, generator=torch.Generator().manual_seed(1))


def in_pieces(layer: CausalConv | CausalTransposedConv | Upsampling, x: Tensor, steps: int) -> Tensor:
    memory = Memory()
    return torch.cat([layer(piece, memory) for piece in x.split(steps, 1)], 1)


@pytest.mark.parametrize("gradients", [False, True])
@pytest.mark.parametrize("elu", [False, True])
@pytest.mark.parametrize(
    ("inputs", "outputs", "kernel", "stride", "dilation"),
    [
        (1, 4, 7, 1, 1),
        (4, 2, 3, 1, 1),
        (2, 4, 1, 1, 1),
        (4, 8, 8, 4, 1),
        (3, 40, 6, 3, 1),
        (4, 1, 3, 1, 1),
        (2, 4, 3, 1, 4),
    ],
)
def test_causal_convolution(
    inputs: int, outputs: int, kernel: int, stride: int, dilation: int, elu: bool, gradients: bool
) -> None:
    layer, x = CausalConv(inputs, outputs, kernel, stride=stride, dilation=dilation, elu=elu), signal(inputs)
    own = layer.conv["conv"]
    with torch.set_grad_enabled(gradients):
        active = F.elu(x) if elu else x
        expected = own(F.pad(active.transpose(1, 2), (layer.reach, 0))).transpose(1, 2)
        assert torch.allclose(layer(x, Memory()), expected, atol=1e-6)
        assert torch.allclose(layer(x, Memory(), onto=expected), 2 * expected, atol=1e-6)
        for steps in (stride, 2 * stride, 12):
            assert torch.allclose(in_pieces(layer, x, steps), expected, atol=1e-6)


def test_gradients() -> None:
    layer, x = CausalConv(4, 2, 3, elu=True), signal(4).requires_grad_()
    own = layer.conv["conv"]
    tensors = [x, own.weight, own.bias]
    expected = own(F.pad(F.elu(x).transpose(1, 2), (2, 0)))
    theirs = torch.autograd.grad(expected.square().sum(), tensors)
    ours = torch.autograd.grad(layer(x, Memory()).square().sum(), tensors)
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(ours, theirs, strict=True))


def test_replicated_past() -> None:
    layer, x = CausalConv(3, 5, 4, stride=2, bias=False, replicate=True), signal(3)
    expected = layer.conv["conv"](F.pad(x.transpose(1, 2), (2, 0), mode="replicate")).transpose(1, 2)
    assert torch.allclose(layer(x, Memory()), expected, atol=1e-6)
    assert torch.allclose(in_pieces(layer, x, 4), expected, atol=1e-6)


def test_transposed_convolution() -> None:
    layer, x = CausalTransposedConv(4, 3, 5), signal(4)
    expected = layer.convtr["convtr"](F.elu(x).transpose(1, 2))[..., :-5].transpose(1, 2)
    assert torch.allclose(layer(x, Memory()), expected, atol=1e-6)
    assert torch.allclose(in_pieces(layer, x, 1), expected, atol=1e-6)


def test_upsampling() -> None:
    layer, x = Upsampling(4, 2), signal(4)
    expected = layer.convtr["convtr"](x.transpose(1, 2))[..., :-2].transpose(1, 2)
    assert torch.allclose(layer(x, Memory()), expected, atol=1e-6)
    assert torch.allclose(in_pieces(layer, x, 3), expected, atol=1e-6)


def test_elu() -> None:
    x = torch.cat([torch.linspace(-30, 30, 100001), torch.tensor([0.0, -0.0, 1e-9, -1e-9, -1e4, 1e4, torch.inf])])
    out = torch.empty_like(x)
    with torch.no_grad():
        write_elu(x, out)
    assert torch.allclose(out, F.elu(x), rtol=0, atol=1.5e-7)
