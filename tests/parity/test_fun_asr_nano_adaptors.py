"""The Transformer adaptor, with and without grouping of frames."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.parity.conftest import cases
from tests.parity.tensors import (
    FAMILY,
    assert_close,
    assert_gradient,
    largest_gradient,
    read_json,
    read_tensors,
    segments,
    valid,
)
from voxtune.parts.transformer_adaptor import AdaptorConfig, TransformerAdaptor

OUTPUT_TOLERANCE = 2e-4
GRADIENT_TOLERANCE = 2e-3


def build(folder: Path) -> TransformerAdaptor:
    sizes = read_json(folder / "config.json")["audio_adaptor_conf"]
    names = ("downsample_rate", "encoder_dim", "llm_dim", "ffn_dim", "n_layer", "attention_heads")
    adaptor = TransformerAdaptor(AdaptorConfig(**{name: sizes[name] for name in names if name in sizes}))
    adaptor.load_state_dict(read_tensors(folder, "weights"))
    return adaptor.eval()


def heard_by_upstream(rows: Tensor, lengths: list[int], rate: int) -> list[int]:
    """Lengths including what leaks: upstream fills the last group of a short row with the padded frames behind it."""
    return [min(rows.shape[1], -(-length // rate) * rate) for length in lengths]


@pytest.mark.parametrize("folder", cases(FAMILY, "adaptor"), ids=lambda folder: folder.name)
class TestAdaptor:
    def test_blocks_and_output(self, folder: Path) -> None:
        adaptor, inputs, outputs = build(folder), read_tensors(folder, "inputs"), read_tensors(folder, "outputs")
        lengths = inputs["encoder_out_lens"].tolist()
        heard = heard_by_upstream(inputs["encoder_out"], lengths, adaptor.config.downsample_rate)
        seen: dict[str, Tensor] = {}
        for name, module in adaptor.named_modules():
            if name in outputs:
                module.register_forward_hook(lambda _, args, out, name=name: seen.__setitem__(name, out))
        with torch.no_grad():
            seen["adaptor_out"], grouped = adaptor(valid(inputs["encoder_out"], heard), segments(heard))
        assert grouped.lengths == outputs["adaptor_out_lens"].tolist()
        assert set(seen) == {n for n in outputs if n.startswith(("linear2", "blocks.")) or n == "adaptor_out"}
        for name, ours in seen.items():
            assert_close(ours, valid(outputs[name], grouped.lengths), OUTPUT_TOLERANCE, name)

    def test_gradients(self, folder: Path) -> None:
        adaptor, inputs, outputs = build(folder), read_tensors(folder, "inputs"), read_tensors(folder, "outputs")
        lengths = inputs["encoder_out_lens"].tolist()
        heard = heard_by_upstream(inputs["encoder_out"], lengths, adaptor.config.downsample_rate)
        frames = valid(inputs["encoder_out"], heard).requires_grad_()
        out, grouped = adaptor(frames, segments(heard))
        (out * valid(inputs["cotangent"], grouped.lengths)).sum().backward()
        scale = largest_gradient(outputs)
        checked = 0
        for name, parameter in adaptor.named_parameters():
            if f"grad.{name}" in outputs:
                assert_gradient(parameter.grad, outputs[f"grad.{name}"], GRADIENT_TOLERANCE, name, scale)
                checked += 1
        assert checked == sum(name.startswith("grad.") for name in outputs)
        theirs = valid(outputs["grad_input.encoder_out"], heard)
        assert_gradient(frames.grad, theirs, GRADIENT_TOLERANCE, "grad_input.encoder_out", scale)

    def test_alone_is_packed_whatever_stands_behind_a_row(self, folder: Path) -> None:
        """Our rule where upstream leaks: a recording gives the same frames alone and beside any neighbour."""
        adaptor, inputs = build(folder), read_tensors(folder, "inputs")
        lengths = inputs["encoder_out_lens"].tolist()
        with torch.no_grad():
            packed, grouped = adaptor(valid(inputs["encoder_out"], lengths), segments(lengths))
            alone = [adaptor(row[:n], segments([n]))[0] for row, n in zip(inputs["encoder_out"], lengths, strict=True)]
        rate = adaptor.config.downsample_rate
        assert grouped.lengths == [(n - 1) // rate + 1 for n in lengths]
        for number, (a, b) in enumerate(zip(packed.split(grouped.lengths), alone, strict=True)):
            assert_close(a, b, 1e-5, f"row {number}")
