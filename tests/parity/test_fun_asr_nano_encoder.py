"""The SAN-M encoder: every block, the output, and gradients."""

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
from voxtune.parts.sanm import SanmConfig, SanmEncoder

OUTPUT_TOLERANCE = 2e-5
GRADIENT_TOLERANCE = 1e-4


def build(folder: Path) -> SanmEncoder:
    config = read_json(folder / "config.json")
    sizes = config["audio_encoder_conf"]
    encoder = SanmEncoder(
        SanmConfig(
            input_size=config["input_size"],
            output_size=sizes["output_size"],
            attention_heads=sizes["attention_heads"],
            linear_units=sizes["linear_units"],
            num_blocks=sizes["num_blocks"],
            tp_blocks=sizes["tp_blocks"],
            kernel_size=sizes["kernel_size"],
            shift=sizes["sanm_shfit"],
        )
    )
    encoder.load_state_dict(read_tensors(folder, "weights"))
    return encoder.eval()


@pytest.mark.parametrize("folder", cases(FAMILY, "encoder"), ids=lambda folder: folder.name)
class TestEncoder:
    def test_blocks_and_output(self, folder: Path) -> None:
        encoder, inputs, outputs = build(folder), read_tensors(folder, "inputs"), read_tensors(folder, "outputs")
        lengths = inputs["speech_lengths"].tolist()
        seen: dict[str, Tensor] = {}
        for name, module in encoder.named_modules():
            if name in outputs:
                module.register_forward_hook(lambda _, args, out, name=name: seen.__setitem__(name, out))
        first = encoder.encoders0[0]
        first.register_forward_pre_hook(lambda _, args: seen.__setitem__("after_scale_and_pos", args[0]))

        with torch.no_grad():
            seen["encoder_out"] = encoder(valid(inputs["speech"], lengths), segments(lengths))
            values = first.self_attn.linear_q_k_v(first.norm1(seen["after_scale_and_pos"])).chunk(3, -1)[2]
            memory = first.self_attn.memory(values, segments(lengths))

        assert outputs["encoder_out_lens"].tolist() == lengths
        expected = {name for name in outputs if name.startswith(("encoders", "tp_encoders", "after_", "encoder_out"))}
        assert expected - {"encoder_out_lens", "encoders0.0.fsmn_conv"} == set(seen)
        for name, ours in seen.items():
            assert_close(ours, valid(outputs[name], lengths), OUTPUT_TOLERANCE, name)
        fsmn = outputs["encoders0.0.fsmn_conv"].transpose(1, 2)
        assert_close(memory, valid(fsmn, lengths), OUTPUT_TOLERANCE, "encoders0.0.fsmn_conv")

    def test_gradients(self, folder: Path) -> None:
        encoder, inputs, outputs = build(folder), read_tensors(folder, "inputs"), read_tensors(folder, "outputs")
        lengths = inputs["speech_lengths"].tolist()
        speech = valid(inputs["speech"], lengths).requires_grad_()
        scalar = (encoder(speech, segments(lengths)) * valid(inputs["cotangent"], lengths)).sum()
        scalar.backward()
        assert_close(scalar.detach().view(1), outputs["scalar"].view(1), 1e-3, "scalar")
        scale = largest_gradient(outputs)
        checked = 0
        for name, parameter in encoder.named_parameters():
            if f"grad.{name}" in outputs:
                assert_gradient(parameter.grad, outputs[f"grad.{name}"], GRADIENT_TOLERANCE, name, scale)
                checked += 1
        assert checked == sum(name.startswith("grad.") for name in outputs)
        theirs = valid(outputs["grad_input.speech"], lengths)
        assert_gradient(speech.grad, theirs, GRADIENT_TOLERANCE, "grad_input.speech", scale)

    def test_alone_is_packed(self, folder: Path) -> None:
        encoder, inputs = build(folder), read_tensors(folder, "inputs")
        lengths = inputs["speech_lengths"].tolist()
        with torch.no_grad():
            packed = encoder(valid(inputs["speech"], lengths), segments(lengths)).split(lengths)
            alone = [encoder(row[:n], segments([n])) for row, n in zip(inputs["speech"], lengths, strict=True)]
        for number, (a, b) in enumerate(zip(packed, alone, strict=True)):
            assert_close(a, b, OUTPUT_TOLERANCE, f"row {number}")
