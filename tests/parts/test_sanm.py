"""The SAN-M encoder: nothing crosses a wall, whatever the kernel."""

from __future__ import annotations

import pytest
import torch

from voxtune.parts.attention import Segments
from voxtune.parts.sanm import Float32LayerNorm, SanmAttention, SanmConfig, SanmEncoder, sinusoids

CPU = torch.device("cpu")
LENGTHS = [9, 1, 3, 14]
SIZES = {"input_size": 20, "output_size": 16, "attention_heads": 2, "linear_units": 24, "num_blocks": 2, "tp_blocks": 1}


@pytest.mark.parametrize(("kernel_size", "shift"), [(11, 0), (11, 2), (11, -2), (4, 0), (1, 0)])
def test_memory_is_a_convolution_of_each_segment(kernel_size: int, shift: int) -> None:
    torch.manual_seed(0)
    attention = SanmAttention(16, SanmConfig(**SIZES, kernel_size=kernel_size, shift=shift))
    values = torch.randn(sum(LENGTHS), 16)
    ours = attention.memory(values, Segments(LENGTHS, CPU))
    left = (kernel_size - 1) // 2 + shift
    for segment, result in zip(values.split(LENGTHS), ours.split(LENGTHS), strict=True):
        padded = torch.nn.functional.pad(segment.T[None], (left, kernel_size - 1 - left))
        assert torch.allclose(attention.fsmn_block(padded)[0].T, result, atol=1e-6)


@pytest.mark.parametrize("kernel_size", [11, 31])
def test_packed_is_alone_and_neighbours_do_not_matter(kernel_size: int) -> None:
    torch.manual_seed(0)
    encoder = SanmEncoder(SanmConfig(**SIZES, kernel_size=kernel_size)).eval()
    frames = torch.randn(sum(LENGTHS), 20)
    with torch.no_grad():
        packed = encoder(frames, Segments(LENGTHS, CPU)).split(LENGTHS)
        for segment, result in zip(frames.split(LENGTHS), packed, strict=True):
            assert torch.allclose(encoder(segment, Segments([len(segment)], CPU)), result, atol=1e-5)
        frames[:9] = torch.randn(9, 20)
        changed = encoder(frames, Segments(LENGTHS, CPU)).split(LENGTHS)
    assert not torch.allclose(changed[0], packed[0], atol=1e-3)
    for before, after in zip(packed[1:], changed[1:], strict=True):
        assert torch.equal(before, after)


def test_activation_checkpointing_gives_the_same_gradients() -> None:
    torch.manual_seed(0)
    encoder = SanmEncoder(SanmConfig(**SIZES, dropout=0, attention_dropout=0)).train()
    frames, gradients = torch.randn(sum(LENGTHS), 20), []
    for encoder.activation_checkpointing in (False, True):
        encoder.zero_grad()
        encoder(frames, Segments(LENGTHS, CPU)).square().sum().backward()
        gradients.append([p.grad.clone() for p in encoder.parameters() if p.grad is not None])
    assert len(gradients[0]) == len(list(encoder.parameters()))
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_sinusoids_are_sines_then_cosines() -> None:
    table = sinusoids(torch.tensor([0, 3]), 6)
    rates = torch.exp(torch.arange(3) * (-torch.log(torch.tensor(10000.0)) / 2))
    assert torch.allclose(table[0], torch.tensor([0.0, 0, 0, 1, 1, 1]))
    assert torch.allclose(table[1], torch.cat([(3 * rates).sin(), (3 * rates).cos()]))


def test_layer_norm_computes_in_float32() -> None:
    x = torch.randn(4, 64, generator=torch.Generator().manual_seed(0)).bfloat16() * 300
    norm = Float32LayerNorm(64)
    expected = norm(x.float()).bfloat16()
    assert torch.equal(norm.bfloat16()(x), expected)
