"""One optimiser step: accumulation changes nothing, numbers that are not finite move nothing."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

from tests.conftest import TinyAsr, build_tiny_asr
from tests.training.test_packing import examples
from voxtune.data.example import Batch, pack
from voxtune.families.fun_asr_nano import FAMILY
from voxtune.families.fun_asr_nano.config import Options
from voxtune.recipe import TrainSection, TuneSection
from voxtune.training import tuning
from voxtune.training.optim import adamw
from voxtune.training.parallel import Parallel
from voxtune.training.step import Trainer

PARTS = ["audio_encoder", "audio_adaptor", "llm", "ctc"]


def trainer(asr: TinyAsr, parts: list[str] | None = None, *, activation_checkpointing: bool = False) -> Trainer:
    train = TrainSection(
        output=Path("unused"), precision="fp32", learning_rate=1e-2, activation_checkpointing=activation_checkpointing
    )
    groups = tuning.apply(asr.model, FAMILY, TuneSection(parts=parts or PARTS), train.learning_rate)
    tuning.prepare(asr.model, train)
    return Trainer(asr.model, adamw(groups, train), train, 10, Parallel())


def asr() -> TinyAsr:
    return build_tiny_asr(Options(ctc_weight=0.5))


def weights(made: TinyAsr) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in made.model.state_dict().items()}


@pytest.mark.parametrize("activation_checkpointing", [False, True])
def test_accumulation_and_activation_checkpointing_change_nothing(activation_checkpointing: bool) -> None:
    one, several = asr(), asr()
    whole = trainer(one)
    split = trainer(several, activation_checkpointing=activation_checkpointing)
    parts = examples(one)
    for number in (1, 2, 3):
        expected = whole.step(number, [pack(parts)])
        found = split.step(number, [pack(parts[:1]), pack(parts[1:4]), pack(parts[4:])])
        assert found.loss == pytest.approx(expected.loss, abs=1e-5)
        assert found.gradient_norm == pytest.approx(expected.gradient_norm, rel=1e-4)


def poisoned(batch: Batch) -> Batch:
    batch.audio[0].features[0, 0] = float("nan")
    return batch


def test_a_step_that_is_not_finite_is_not_applied_and_its_samples_are_named(caplog: pytest.LogCaptureFixture) -> None:
    made = asr()
    stepper, before, parts = trainer(made), weights(made), examples(made)
    with caplog.at_level(logging.WARNING):
        step = stepper.step(1, [pack(parts[2:4]), poisoned(pack(parts[:2]))])
    assert not step.applied
    assert all(torch.equal(value, before[name]) for name, value in weights(made).items())
    assert "s0, s1" in caplog.text and "s3" not in caplog.text
    assert stepper.step(2, [pack(parts[2:4])]).applied


def test_frozen_parts_stay_in_eval_mode_and_unmoved() -> None:
    made = asr()
    stepper, before = trainer(made, ["audio_adaptor"]), weights(made)
    stepper.step(1, [pack(examples(made))])
    assert made.model.audio_adaptor.training
    assert not any(module.training for module in made.model.audio_encoder.modules())
    assert not any(module.training for module in made.model.llm.modules())
    moved = {name for name, value in weights(made).items() if not torch.equal(value, before[name])}
    assert moved
    assert all(name.startswith("audio_adaptor.") for name in moved)


def test_the_loss_is_sums_over_counts_by_stream() -> None:
    made = asr()
    batch = pack(examples(made))
    with torch.no_grad():
        sums, counts = made.model(batch), made.model.label_counts(batch)
    step = trainer(made).step(1, [batch])
    means = {name: (sums[name] / counts[name]).item() for name in sums}
    assert step.streams == pytest.approx(means, rel=1e-5)
    assert step.loss == pytest.approx(means["text"] + 0.5 * means["ctc"], rel=1e-5)
