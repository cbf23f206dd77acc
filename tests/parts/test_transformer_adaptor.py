"""The adaptor: grouping of frames, and walls."""

from __future__ import annotations

import pytest
import torch

from voxtune.parts.attention import Segments
from voxtune.parts.transformer_adaptor import AdaptorConfig, TransformerAdaptor

CPU = torch.device("cpu")
LENGTHS = [7, 1, 4]


def build(rate: int) -> TransformerAdaptor:
    torch.manual_seed(0)
    sizes = AdaptorConfig(downsample_rate=rate, encoder_dim=6, llm_dim=16, ffn_dim=12, n_layer=2, attention_heads=2)
    return TransformerAdaptor(sizes).eval()


def test_grouping_fills_the_last_group_with_zeros() -> None:
    frames = torch.arange(1.0, 6.0)[:, None].expand(5, 6)
    grouped, segments = build(2).group(frames, Segments([3, 2], CPU))
    assert segments.lengths == [2, 1]
    assert grouped[:, ::6].tolist() == [[1, 2], [3, 0], [4, 5]]


@pytest.mark.parametrize("rate", [1, 2, 3])
def test_packed_is_alone(rate: int) -> None:
    adaptor, frames = build(rate), torch.randn(sum(LENGTHS), 6)
    with torch.no_grad():
        packed, segments = adaptor(frames, Segments(LENGTHS, CPU))
        assert segments.lengths == [(n - 1) // rate + 1 for n in LENGTHS]
        for part, result in zip(frames.split(LENGTHS), packed.split(segments.lengths), strict=True):
            assert torch.allclose(adaptor(part, Segments([len(part)], CPU))[0], result, atol=1e-6)


def test_tiny_activations_are_normalised() -> None:
    """The layer norms' epsilon is 1e-12: frames of size 1e-4 must not be flattened to zero."""
    adaptor = build(1)
    norm = adaptor.blocks[0].norm1
    small = torch.randn(3, 16) * 1e-4
    assert torch.allclose(norm(small), norm(small * 1e4), atol=1e-3)
