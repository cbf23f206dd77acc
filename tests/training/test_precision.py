"""bf16 and fp16 follow fp32; an fp16 overflow mends itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import build_tiny_asr
from tests.training.test_packing import examples
from tests.training.test_step import PARTS
from voxtune.data.example import pack
from voxtune.families.fun_asr_nano import FAMILY
from voxtune.families.fun_asr_nano.config import Options
from voxtune.recipe import TrainSection, TuneSection
from voxtune.training import tuning
from voxtune.training.optim import adamw
from voxtune.training.parallel import Parallel
from voxtune.training.step import Step, Trainer


def steps(precision: str, count: int) -> list[Step]:
    asr = build_tiny_asr(Options(ctc_weight=0.5))
    train = TrainSection(output=Path("unused"), precision=precision, learning_rate=1e-3)
    groups = tuning.apply(asr.model, FAMILY, TuneSection(parts=PARTS), train.learning_rate)
    trainer = Trainer(asr.model, adamw(groups, train), train, count, Parallel())
    batch = pack(examples(asr))
    return [trainer.step(number, [batch]) for number in range(1, count + 1)]


def test_bf16_follows_fp32() -> None:
    for half, full in zip(steps("bf16", 5), steps("fp32", 5), strict=True):
        assert half.applied
        assert half.loss == pytest.approx(full.loss, rel=0.02)


def test_fp16_lowers_its_loss_scale_until_gradients_fit() -> None:
    done = steps("fp16", 20)
    assert done[-1].applied
    for step in done:
        assert step.applied or step.overflow
    full = steps("fp32", 20)
    assert done[0].loss == pytest.approx(full[0].loss, rel=0.02)
    assert done[-1].loss < done[0].loss
