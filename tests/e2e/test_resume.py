"""A run that is killed and started again with the same command gives the losses of a run that was not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.helpers.dialogue_corpus import write_dialogue_recipe, write_dialogues
from tests.helpers.speech import write_corpus, write_recipe
from voxtune.training.checkpoints import Checkpoints
from voxtune.training.monitor import read_log

RANDOM = {
    # Everything random at once: noise, masking, dropout of LoRA.
    "model": {"spec_augment": True, "dither": 1.0},
    "tune": {"method": "lora", "parts": ["audio_adaptor", "llm"], "lora": {"r": 2, "dropout": 0.2}},
}


def recipe_for(folder: Path, model: Path, **train_keys: object) -> Path:
    write_corpus(folder, 20)
    write_corpus(folder, 4, name="validation", seed=1)
    keys = {
        "output": str(folder / "run"), "tokens_per_step": 300, "tokens_per_batch": 150, "epochs": 3,
        "precision": "fp32", "checkpoint_every": 3, "evaluate_every": 5, "evaluate_samples": 2, "learning_rate": 3e-3,
        "trackers": [], **train_keys,
    }  # fmt: skip
    return write_recipe(folder, model, **RANDOM, train=keys)


def losses(run: Path) -> dict[int, tuple[str, str]]:
    """Loss and gradient norm of every step, to the last bit."""
    return {line["step"]: (line["loss"].hex(), line["gradient_norm"].hex()) for line in read_log(run) if "loss" in line}


def command(recipe: Path) -> list[str]:
    return [sys.executable, "-m", "voxtune", "train", str(recipe)]


def start(recipe: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command(recipe), env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def stop_at(recipe: Path, run: Path, step: int, number: signal.Signals) -> int:
    """Start the run, send a signal once `step` is logged, and return the exit code."""
    process = start(recipe)
    log = run / "log.jsonl"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if log.exists() and f'{{"step": {step},' in log.read_text():
            process.send_signal(number)
            break
        time.sleep(0.005)
    output, _ = process.communicate(timeout=60)
    assert process.returncode is not None and "Traceback" not in output.decode(), output.decode()
    return process.returncode


def test_resumed_after_kill_9_at_three_steps_equals_uninterrupted(tmp_path: Path, tiny_asr_folder: Path) -> None:
    whole = recipe_for(tmp_path / "whole", tiny_asr_folder)
    assert start(whole).wait(120) == 0
    expected = losses(tmp_path / "whole" / "run")
    assert len(expected) >= 12

    killed = recipe_for(tmp_path / "killed", tiny_asr_folder)
    run = tmp_path / "killed" / "run"
    for step in (2, 5, 10):
        assert stop_at(killed, run, step, signal.SIGKILL) == -signal.SIGKILL
    assert start(killed).wait(120) == 0
    assert losses(run) == expected
    steps = [line["step"] for line in read_log(run) if "loss" in line]
    assert steps == sorted(steps) == list(range(1, len(expected) + 1))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_polite_signal_writes_a_checkpoint_and_exits(
    tmp_path: Path, tiny_asr_folder: Path, number: signal.Signals
) -> None:
    recipe = recipe_for(tmp_path, tiny_asr_folder, epochs=300, checkpoint_every=100_000, evaluate_every=100_000)
    assert stop_at(recipe, tmp_path / "run", 2, number) == 0
    [step] = Checkpoints(tmp_path / "run", 3).steps()
    assert step == max(losses(tmp_path / "run"))


def dialogue_recipe_for(folder: Path) -> Path:
    write_dialogues(folder / "train", 6)
    write_dialogues(folder / "validation", 2, seed=1)
    return write_dialogue_recipe(
        folder,
        tune={"method": "lora", "parts": ["text_embedding"], "lora": {"r": 2, "dropout": 0.2}},
        train={
            "output": str(folder / "run"), "tokens_per_step": 160, "tokens_per_batch": 80, "epochs": 3,
            "precision": "fp32", "checkpoint_every": 3, "evaluate_every": 5, "learning_rate": 3e-3, "trackers": [],
        },
    )  # fmt: skip


def test_dialogues_resumed_after_kill_9_equal_uninterrupted(tmp_path: Path) -> None:
    whole = dialogue_recipe_for(tmp_path / "whole")
    assert start(whole).wait(120) == 0
    expected = losses(tmp_path / "whole" / "run")
    killed = dialogue_recipe_for(tmp_path / "killed")
    run = tmp_path / "killed" / "run"
    for step in (2, 7):
        assert stop_at(killed, run, step, signal.SIGKILL) == -signal.SIGKILL
    assert start(killed).wait(120) == 0
    assert len(expected) >= 9
    assert losses(run) == expected
