"""Checkpoints: whole or not at all, damage is seen, the one before is used."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

from tests.conftest import build_tiny_asr
from tests.training.test_step import trainer
from voxtune.errors import CheckpointError
from voxtune.training.checkpoints import OPTIMIZER, WEIGHTS, Checkpoints, Progress, load_trained, resume
from voxtune.training.step import Trainer


def saved(
    folder: Path, steps: tuple[int, ...], *, keep: int = 10, best: int | None = None
) -> tuple[Checkpoints, Trainer]:
    checkpoints, stepper = Checkpoints(folder, keep), trainer(build_tiny_asr(), ["audio_adaptor"])
    for step in steps:
        checkpoints.save(stepper, Progress(step=step, best_step=best))
    return checkpoints, stepper


@pytest.mark.parametrize("name", [WEIGHTS, OPTIMIZER, "state.json"])
def test_a_damaged_newest_checkpoint_is_set_aside_and_the_one_before_is_used(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoints, _ = saved(tmp_path, (5, 10))
    file = checkpoints.path(10) / name
    file.write_bytes(file.read_bytes()[:-7])
    with caplog.at_level(logging.WARNING):
        found = checkpoints.newest()
    assert found is not None
    assert found[1].step == 5
    assert "step-00000010" in caplog.text
    assert checkpoints.steps() == [5]


def test_the_newest_and_the_best_are_kept(tmp_path: Path) -> None:
    checkpoints, _ = saved(tmp_path, (1, 2, 3, 4, 5), keep=2, best=2)
    assert checkpoints.steps() == [2, 4, 5]
    assert checkpoints.best()[1].step == 2


def test_only_what_is_trained_is_in_it_and_nothing_else_fits(tmp_path: Path) -> None:
    checkpoints, stepper = saved(tmp_path, (1,))
    other = trainer(build_tiny_asr(seed=7), ["audio_adaptor"])
    resume(other, checkpoints.path(1))
    assert torch.equal(other.model.get_parameter("audio_adaptor.linear1.weight"),
                       stepper.model.get_parameter("audio_adaptor.linear1.weight"))  # fmt: skip
    whole = trainer(build_tiny_asr(), ["audio_adaptor", "audio_encoder"])
    with pytest.raises(CheckpointError, match=r"audio_encoder\.after_norm\.bias"):
        load_trained(whole.model, checkpoints.path(1))


def test_no_checkpoint_at_all_says_so(tmp_path: Path) -> None:
    assert Checkpoints(tmp_path, 3).newest() is None
    with pytest.raises(CheckpointError, match="no checkpoint"):
        Checkpoints(tmp_path, 3).best()
