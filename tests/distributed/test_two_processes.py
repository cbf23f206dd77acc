"""2 processes = 1: the same samples a step, the same losses, the same weights."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.helpers.dialogue_corpus import write_dialogue_recipe, write_dialogues
from tests.helpers.speech import write_corpus, write_recipe
from voxtune.recipe import load_recipe
from voxtune.training.checkpoints import WEIGHTS, Checkpoints
from voxtune.training.monitor import read_log
from voxtune.training.run import train


def write(folder: Path, model: Path, *, processes: int, tokens_per_batch: int) -> Path:
    write_corpus(folder, 15)
    write_corpus(folder, 5, name="validation", seed=1)
    return write_recipe(
        folder,
        model,
        model={"ctc_weight": 0.3},
        tune={"parts": ["audio_encoder", "audio_adaptor", "llm", "ctc"]},
        train={
            "output": str(folder / "run"), "tokens_per_step": 300, "tokens_per_batch": tokens_per_batch, "epochs": 2,
            "learning_rate": 1e-4, "precision": "fp32", "evaluate_every": 4, "evaluate_samples": 3, "trackers": [],
        },
        launch={"processes": processes},
    )  # fmt: skip


def write_dialogue_run(folder: Path, *, processes: int) -> Path:
    write_dialogues(folder / "train", 9)
    write_dialogues(folder / "validation", 3, seed=1)
    keys = {"output": str(folder / "run"), "epochs": 1, "evaluate_every": 4}
    recipe = load_recipe(write_dialogue_recipe(folder))
    return write_dialogue_recipe(
        folder,
        model=recipe.as_dict()["model"] | {"extend_for_user_stream": True},
        train=recipe.as_dict()["train"] | keys,
        launch={"processes": processes},
    )


def test_two_processes_equal_one_with_accumulation(tmp_path: Path, tiny_asr_folder: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    train(load_recipe(write(one, tiny_asr_folder, processes=1, tokens_per_batch=150)))
    in_processes(write(two, tiny_asr_folder, processes=2, tokens_per_batch=150))
    assert_equal_runs(one / "run", two / "run", ("loss_text", "loss_ctc", "validation_error_rate"))


def test_two_processes_equal_one_on_dialogues(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    train(load_recipe(write_dialogue_run(one, processes=1)))
    in_processes(write_dialogue_run(two, processes=2))
    assert_equal_runs(one / "run", two / "run", ("loss_words", "loss_padding", "loss_audio", "loss_user_semantic"))


def in_processes(recipe: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "voxtune", "train", str(recipe)],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def assert_equal_runs(one: Path, two: Path, names: tuple[str, ...]) -> None:
    alone, together = read_log(one), read_log(two)
    assert [line["step"] for line in alone] == [line["step"] for line in together]
    assert any("validation_loss" in line for line in alone)
    assert all(any(name in line for line in alone) for name in names)
    for a, b in zip(alone, together, strict=True):
        for name in ("loss", *names, "gradient_norm", "validation_loss"):
            if name in a:
                assert b[name] == pytest.approx(a[name], rel=1e-6 if "loss" in name else 1e-5), (a["step"], name)
    last = Checkpoints(one, 3).steps()[-1]
    ours, theirs = (load_file(Checkpoints(run, 3).path(last) / WEIGHTS) for run in (one, two))
    assert ours.keys() == theirs.keys()
    assert max((ours[name] - theirs[name]).abs().max().item() for name in ours) < 1e-4
