"""Frozen stages: what is computed ahead is what training would compute."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from tests.conftest import TinyAsr, build_tiny_asr
from voxtune.data.example import AudioInput, Batch, pack
from voxtune.data.sample import AudioPart, transcription
from voxtune.families.fun_asr_nano.config import Options
from voxtune.families.fun_asr_nano.frozen import frozen_encoder
from voxtune.families.fun_asr_nano.model import ADAPTOR, ENCODER, FunAsrNano
from voxtune.parts.kaldi_frontend import Cmvn

SAMPLES = [transcription(str(number), AudioPart(path=f"{number}.wav"), f"text number {number}") for number in range(3)]
WAVEFORMS = [torch.randn(length, generator=torch.manual_seed(length)) / 10 for length in (16000, 9000, 30000)]


def batch(tiny: TinyAsr, audio: list[Tensor] | list[AudioInput]) -> Batch:
    return pack([tiny.layout.example(s, [a], None) for s, a in zip(SAMPLES, audio, strict=True)])


def encoded(tiny: TinyAsr, trained: set[str]) -> list[AudioInput]:
    encoder = frozen_encoder(tiny.model, tiny.layout, trained)
    assert encoder is not None
    return encoder([encoder.front_end(waveform) for waveform in WAVEFORMS])


def train_only(model: FunAsrNano, parts: set[str]) -> None:
    for name, parameter in model.named_parameters():
        parameter.requires_grad = name.startswith(tuple(parts))


def losses_and_gradients(model: FunAsrNano, made: Batch) -> tuple[dict[str, float], dict[str, Tensor]]:
    model.zero_grad()
    sums = model(made)
    sum(sums.values()).backward()  # type: ignore[union-attr]
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return {name: float(value.detach()) for name, value in sums.items()}, gradients


@pytest.mark.parametrize(
    ("trained", "ctc_weight", "stage"),
    [
        ({"audio_adaptor"}, 0.0, ENCODER),
        ({"llm"}, 0.0, ADAPTOR),
        ({"llm"}, 0.3, ENCODER),
        ({"ctc"}, 0.3, ENCODER),
        ({"audio_adaptor", "llm", "ctc"}, 0.3, ENCODER),
    ],
)
def test_training_on_encoded_audio_is_training_on_audio(trained: set[str], ctc_weight: float, stage: str) -> None:
    tiny = build_tiny_asr(Options(ctc_weight=ctc_weight))
    train_only(tiny.model, trained)
    ahead = encoded(tiny, trained)
    assert {audio.encoded for audio in ahead} == {stage}
    losses, gradients = losses_and_gradients(tiny.model, batch(tiny, ahead))
    expected_losses, expected = losses_and_gradients(tiny.model, batch(tiny, WAVEFORMS))
    assert losses == pytest.approx(expected_losses, rel=1e-6)
    assert gradients.keys() == expected.keys() and gradients
    torch.testing.assert_close(gradients, expected)
    assert all(gradient.any() for name, gradient in gradients.items() if "adaptor.linear" in name)


def test_a_batch_may_mix_encoded_and_raw_audio(tiny_asr: TinyAsr) -> None:
    train_only(tiny_asr.model, {"llm"})
    for trained in ({"llm"}, {"audio_adaptor"}):
        ahead = encoded(tiny_asr, trained)
        mixed = batch(tiny_asr, [ahead[0], WAVEFORMS[1], ahead[2]])  # type: ignore[list-item]
        losses, gradients = losses_and_gradients(tiny_asr.model, mixed)
        expected_losses, expected = losses_and_gradients(tiny_asr.model, batch(tiny_asr, WAVEFORMS))
        assert losses == pytest.approx(expected_losses, rel=1e-6)
        torch.testing.assert_close(gradients, expected)


def test_only_adaptor_frames_that_enter_the_language_model_are_kept(tiny_asr: TinyAsr) -> None:
    for audio in encoded(tiny_asr, {"llm"}):
        assert audio.features.shape == (audio.frames, 32)
        assert audio.features.untyped_storage().nbytes() == audio.features.nbytes


def test_batched_is_alone(tiny_asr: TinyAsr) -> None:
    encoder = frozen_encoder(tiny_asr.model, tiny_asr.layout, {"llm"})
    assert encoder is not None
    rows = [encoder.front_end(waveform) for waveform in WAVEFORMS]
    alone = [encoder([r])[0] for r in rows]
    for one, together in zip(alone, encoder(rows), strict=True):
        torch.testing.assert_close(one.features, together.features)


@pytest.mark.parametrize("options", [Options(dither=1.0), Options(spec_augment=True)])
def test_random_input_is_not_encoded_ahead(options: Options) -> None:
    tiny = build_tiny_asr(options)
    assert frozen_encoder(tiny.model, tiny.layout, {"llm"}) is None


def test_a_trained_encoder_is_not_encoded_ahead(tiny_asr: TinyAsr) -> None:
    assert frozen_encoder(tiny_asr.model, tiny_asr.layout, {"audio_encoder", "llm"}) is None


def test_dropout_is_off_and_modes_are_put_back(tiny_asr: TinyAsr) -> None:
    expected = encoded(tiny_asr, {"llm"})
    model = tiny_asr.model.train()
    model.audio_encoder.tp_encoders.eval()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.5
    modes = {name: module.training for name, module in model.named_modules()}
    for audio, other in zip(encoded(tiny_asr, {"llm"}), expected, strict=True):
        assert torch.equal(audio.features, other.features)
        assert not audio.features.requires_grad and not audio.features.is_inference()
    assert {name: module.training for name, module in model.named_modules()} == modes


def test_fingerprint_is_that_of_the_numbers() -> None:
    def fingerprint(tiny: TinyAsr, trained: set[str]) -> str:
        encoder = frozen_encoder(tiny.model, tiny.layout, trained)
        assert encoder is not None
        return encoder.fingerprint

    tiny = build_tiny_asr()
    first = fingerprint(tiny, {"llm"})
    assert fingerprint(build_tiny_asr(), {"llm"}) == first
    different = {first, fingerprint(tiny, {"audio_adaptor"}), fingerprint(build_tiny_asr(seed=1), {"llm"})}
    assert len(different) == 3

    def after(change: str) -> str:
        other = build_tiny_asr()
        layout, model = other.layout, other.model
        with torch.no_grad():
            match change:
                case "adaptor weight":
                    model.audio_adaptor.linear2.bias[0] += 1e-6
                case "llm weight":
                    model.llm.lm_head.weight[0, 0] += 1
                case "dtype":
                    model.bfloat16()
                case "cmvn":
                    layout.cmvn = Cmvn(torch.zeros(560), torch.ones(560))
                case "resampler":
                    layout.resampler = "sinc"
                case "front end":
                    layout.config = replace(layout.config, frontend=replace(layout.config.frontend, window="povey"))
        return fingerprint(other, {"llm"})

    assert after("llm weight") == first
    for change in ("adaptor weight", "dtype", "cmvn", "resampler", "front end"):
        different.add(after(change))
    assert len(different) == 8


@pytest.mark.parametrize("trained", [{"llm"}, {"audio_adaptor"}])
def test_rates_foretell_the_sizes(tiny_asr: TinyAsr, trained: set[str]) -> None:
    encoder = frozen_encoder(tiny_asr.model, tiny_asr.layout, trained)
    assert encoder is not None
    rows = encoder.front_end(torch.zeros(60 * 16000))
    assert len(rows) == pytest.approx(60 * encoder.rows_per_second, rel=0.01)
    assert encoder([rows])[0].features.nbytes == pytest.approx(60 * encoder.bytes_per_second, rel=0.02)


def test_half_precision_is_kept(tiny_asr: TinyAsr) -> None:
    tiny_asr.model.bfloat16()
    assert {audio.features.dtype for audio in encoded(tiny_asr, {"llm"})} == {torch.bfloat16}
