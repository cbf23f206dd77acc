"""Attention with walls: against the formula, and against itself with one recording at a time."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from voxtune.parts.attention import Segments, packed_attention

LENGTHS = [5, 1, 7]
CPU = torch.device("cpu")


def random_heads(heads: int, seed: int) -> Tensor:
    return torch.randn(sum(LENGTHS), heads, 8, generator=torch.Generator().manual_seed(seed))


def formula(query: Tensor, key: Tensor, value: Tensor, *, causal: bool, scale: float) -> Tensor:
    """Softmax attention over all frames, [frames, heads, width], other segments and the future at minus infinity."""
    segments = Segments(LENGTHS, CPU)
    allowed = segments.index[:, None] == segments.index[None]
    if causal:
        allowed &= segments.position[:, None] >= segments.position[None]
    key, value = (x.repeat_interleave(query.shape[1] // x.shape[1], 1) for x in (key, value))
    scores = torch.einsum("qhw,khw->hqk", query, key) * scale
    weights = scores.masked_fill(~allowed, float("-inf")).softmax(-1)
    return torch.einsum("hqk,khw->qhw", weights, value)


def test_segments() -> None:
    segments = Segments([2, 1, 3], CPU)
    assert segments.total == 6
    assert segments.ends.tolist() == [0, 2, 3, 6]
    assert segments.index.tolist() == [0, 0, 1, 2, 2, 2]
    assert segments.position.tolist() == [0, 1, 0, 0, 1, 2]


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("key_value_heads", [4, 2])
@pytest.mark.parametrize("scale", [None, 0.5])
def test_against_the_formula(causal: bool, key_value_heads: int, scale: float | None) -> None:
    query, key, value = random_heads(4, 0), random_heads(key_value_heads, 1), random_heads(key_value_heads, 2)
    ours = packed_attention(query, key, value, Segments(LENGTHS, CPU), causal=causal, scale=scale)
    expected = formula(query, key, value, causal=causal, scale=scale or 8**-0.5)
    assert torch.allclose(ours, expected, atol=1e-6)


def test_a_neighbour_changes_nothing() -> None:
    query, key, value = (random_heads(2, seed) for seed in range(3))
    segments = Segments(LENGTHS, CPU)
    before = packed_attention(query, key, value, segments)
    changed = value.clone()
    changed[5:6] += 1
    after = packed_attention(query, key, changed, segments)
    assert torch.equal(before[:5], after[:5])
    assert torch.equal(before[6:], after[6:])
    assert not torch.allclose(before[5:6], after[5:6])


@pytest.mark.gpu
@pytest.mark.parametrize("causal", [False, True])
def test_the_variable_length_kernel_agrees_with_the_segments(causal: bool) -> None:
    lengths = [5, 1, 33, 16]
    query, key, value = (torch.randn(sum(lengths), heads, 64) for heads in (8, 4, 4))
    expected = packed_attention(query, key, value, Segments(lengths, torch.device("cpu")), causal=causal)
    on_gpu = [tensor.to("cuda", torch.bfloat16) for tensor in (query, key, value)]
    found = packed_attention(*on_gpu, Segments(lengths, torch.device("cuda")), causal=causal)
    assert (found.float().cpu() - expected).abs().max() < 0.03
