"""Whole small runs: what they write, what they refuse, when they stop."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.speech import recipe, write_corpus
from voxtune.errors import DataError, RecipeError, VoxtuneError
from voxtune.evaluation.error_rate import ErrorRate, Unit
from voxtune.training import validation
from voxtune.training.checkpoints import Checkpoints
from voxtune.training.monitor import read_log
from voxtune.training.run import train
from voxtune.training.run_folder import load_run


def keys(folder: Path, **others: Any) -> dict[str, Any]:
    """The train section of a run of some seconds."""
    small = {"tokens_per_step": 300, "tokens_per_batch": 300, "epochs": 2, "learning_rate": 1e-3, "precision": "fp32"}
    return {"output": str(folder / "run"), "trackers": [], "evaluate_samples": 2, **small, **others}


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    write_corpus(tmp_path, 8)
    write_corpus(tmp_path, 3, name="validation", seed=1)
    return tmp_path


def test_a_run_writes_log_recipe_checkpoint_and_events_and_is_then_finished(
    corpus: Path, tiny_asr_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = recipe(corpus, tiny_asr_folder, train=keys(corpus, trackers=["tensorboard"]))
    progress = train(made)
    run = corpus / "run"
    lines = read_log(run)
    assert progress.finished
    assert [line["step"] for line in lines if "loss" in line] == list(range(1, progress.step + 1))
    expected = {"loss", "gradient_norm", "learning_rate", "tokens_per_second", "audio_seconds_per_second",
                "padding_share", "memory_gb"}  # fmt: skip
    assert expected <= lines[0].keys()
    assert lines[0]["audio_seconds_per_second"] > 0
    assert {"validation_loss", "validation_error_rate"} <= lines[-1].keys()
    assert list((run / "tensorboard").iterdir())
    assert Checkpoints(run, 3).steps() == [progress.step]
    assert load_run(run).progress.step == progress.step
    assert train(made).step == progress.step
    assert "finished already" in capsys.readouterr().out


def test_the_loss_falls(corpus: Path, tiny_asr_folder: Path) -> None:
    train(recipe(corpus, tiny_asr_folder, train=keys(corpus, epochs=15, learning_rate=1e-2, evaluate_samples=0)))
    losses = [line["loss"] for line in read_log(corpus / "run") if "loss" in line]
    assert losses[-1] < 0.7 * losses[0]


def test_another_recipe_in_the_same_folder_is_refused_by_key(corpus: Path, tiny_asr_folder: Path) -> None:
    train(recipe(corpus, tiny_asr_folder, train=keys(corpus, max_steps=1)))
    with pytest.raises(RecipeError, match=r"train\.learning_rate: began with 0\.001, now 0\.5"):
        train(recipe(corpus, tiny_asr_folder, train=keys(corpus, max_steps=1, learning_rate=0.5)))


def test_three_steps_in_a_row_that_are_not_finite_stop_the_run(
    corpus: Path, tiny_asr_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wild = keys(corpus, learning_rate=1e30, epochs=20, clip=1e30, schedule={"kind": "constant", "warmup": 0})
    with caplog.at_level(logging.WARNING), pytest.raises(VoxtuneError, match="3 steps in a row"):
        train(recipe(corpus, tiny_asr_folder, train=wild))
    assert "Samples: train0" in caplog.text
    assert [line["applied"] for line in read_log(corpus / "run") if "applied" in line][-3:] == [0.0, 0.0, 0.0]


def test_early_stopping_spends_its_patience(corpus: Path, tiny_asr_folder: Path) -> None:
    still = keys(corpus, learning_rate=1e-30, epochs=50, evaluate_every=1, early_stopping=2, evaluate_samples=0)
    progress = train(recipe(corpus, tiny_asr_folder, train=still))
    assert (progress.step, progress.best_step, progress.waited) == (3, 1, 2)


def test_data_with_errors_is_refused_or_left_out_in_writing(corpus: Path, tiny_asr_folder: Path) -> None:
    (corpus / "train" / "train003.wav").write_bytes(b"no sound")
    with pytest.raises(DataError, match=r"train003\.wav(.|\n)*data\.skip_bad=true"):
        train(recipe(corpus, tiny_asr_folder, train=keys(corpus)))
    train(recipe(corpus, tiny_asr_folder, train=keys(corpus, max_steps=1), data={"skip_bad": True}))
    skipped = [json.loads(line) for line in (corpus / "run" / "skipped.jsonl").read_text().splitlines()]
    assert [line["key"] for line in skipped] == ["train003"]
    assert "train003.wav" in skipped[0]["message"]


@pytest.mark.parametrize("key", ["tokens_per_batch", "tokens_per_step"])
def test_a_sample_that_fits_nowhere_is_named(corpus: Path, tiny_asr_folder: Path, key: str) -> None:
    with pytest.raises(RecipeError, match=rf"train_wav\.scp:\d+.*costs \d+ tokens, train\.{key} = 20"):
        train(recipe(corpus, tiny_asr_folder, train=keys(corpus, **{key: 20})))


def test_frozen_features_computed_once_give_the_same_losses(corpus: Path, tiny_asr_folder: Path) -> None:
    adaptor = {"parts": ["audio_adaptor"]}
    train(recipe(corpus, tiny_asr_folder, tune=adaptor, train=keys(corpus)))
    assert list((corpus / "cache").rglob("*.safetensors"))
    uncached = keys(corpus, output=str(corpus / "uncached"))
    train(recipe(corpus, tiny_asr_folder, tune=adaptor, train=uncached, data={"feature_cache_gb": 0}))
    losses = [[line["loss"] for line in read_log(corpus / run) if "loss" in line] for run in ("run", "uncached")]
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)


def test_parts_auto_follow_from_the_hours(corpus: Path, tiny_asr_folder: Path) -> None:
    train(recipe(corpus, tiny_asr_folder, tune={"parts": "auto"}, train=keys(corpus, max_steps=1)))
    assert load_run(corpus / "run").recipe.tune.parts == ["audio_adaptor"]


def test_a_part_that_no_loss_reaches_is_refused(corpus: Path, tiny_asr_folder: Path) -> None:
    with pytest.raises(RecipeError, match=r"tune\.parts: ctc gets no gradient from the losses text"):
        train(recipe(corpus, tiny_asr_folder, tune={"parts": ["llm", "ctc"]}, train=keys(corpus)))


def test_a_run_can_be_used_from_another_folder(
    corpus: Path, tiny_asr_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(corpus)
    local = recipe(Path(), tiny_asr_folder, train=keys(Path(), max_steps=1))
    train(local)
    monkeypatch.chdir(tiny_asr_folder)
    loaded = load_run(corpus / "run")
    assert loaded.recipe.data.train[0].path == [corpus / "train_wav.scp"]
    monkeypatch.chdir(corpus)
    assert train(local).finished


def test_samples_of_two_files_with_the_same_keys_are_all_measured(corpus: Path, tiny_asr_folder: Path) -> None:
    write_corpus(corpus / "other", 3, name="validation", seed=2)
    both = [str(corpus / "validation_wav.scp"), str(corpus / "other" / "validation_wav.scp")]
    made = recipe(
        corpus, tiny_asr_folder, train=keys(corpus, max_steps=1, evaluate_samples=6), data={"validation": both}
    )
    measured: list[int] = []
    original = validation.error_rate

    def counted(references: dict[str, str], hypotheses: dict[str, str], unit: Unit) -> ErrorRate:
        measured.append(len(references))
        return original(references, hypotheses, unit)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(validation, "error_rate", counted)
        train(made)
    assert measured == [6]
