"""From recordings to a run: codes made ahead, pieces of dialogues, files of tokens, both conventions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from rich.console import Console
from typer.testing import CliRunner

from tests.helpers.dialogue_corpus import write_dialogue_recipe, write_dialogues
from voxtune.checking import check_recipe
from voxtune.cli.main import app
from voxtune.data.example import IGNORED
from voxtune.data.manifest import read_samples
from voxtune.encoding import prepare_cache
from voxtune.errors import RecipeError
from voxtune.recipe import Recipe, load_recipe
from voxtune.training.assembly import Assembly, assemble
from voxtune.training.loading import Packs
from voxtune.training.monitor import read_log
from voxtune.training.parallel import Parallel, processes
from voxtune.training.run import train

QUIET = Console(quiet=True)


@pytest.fixture
def alone() -> Parallel:
    with processes() as parallel:
        return parallel


def assembled(recipe: Recipe, parallel: Parallel) -> tuple[Assembly, Packs]:
    made = assemble(recipe, parallel)
    samples = [*made.corpus.samples, *made.validation.samples]
    cache = prepare_cache(recipe, made.family, made.model, made.layout, samples, parallel, QUIET)
    return made, Packs(made.corpus, made.layout, cache, recipe.train.seed)


@pytest.mark.parametrize("convention", ["jmoshi", "kyutai"])
def test_a_run_learns_and_logs_every_stream(tmp_path: Path, convention: str) -> None:
    write_dialogues(tmp_path / "train", 4)
    write_dialogues(tmp_path / "validation", 2, seed=1)
    path = write_dialogue_recipe(tmp_path)
    options = [f"model.convention={convention}", "train.epochs=6", "train.evaluate_every=10"]
    progress = train(load_recipe(path, options))
    log = [line for line in read_log(tmp_path / "run") if "loss" in line]
    assert progress.finished and len(log) >= 10
    assert sum(line["loss"] for line in log[-3:]) < 0.97 * sum(line["loss"] for line in log[:3])
    trained = {"loss_words", "loss_padding"} if convention == "jmoshi" else {"loss_text"}
    assert trained | {"loss_audio", "loss_semantic", "loss_acoustic"} <= log[0].keys()
    assert "loss" in progress.metrics


def test_codes_ahead_equal_codes_on_the_way(tmp_path: Path, alone: Parallel) -> None:
    write_dialogues(tmp_path / "train", 3, rate=16000)
    recipe = load_recipe(write_dialogue_recipe(tmp_path))
    made, cached = assembled(recipe, alone)
    assert cached.cache is not None
    fresh = Packs(made.corpus, made.layout, None, recipe.train.seed)
    for number in range(len(made.corpus.samples)):
        ours, theirs = cached.example(number, 0), fresh.example(number, 0)
        assert torch.equal(ours.tokens, theirs.tokens)
        assert torch.equal(ours.labels, theirs.labels)
        assert ours.frames == made.corpus.sizes[number].frames


@pytest.mark.parametrize("convention", ["jmoshi", "kyutai"])
def test_pieces_lose_no_frame(tmp_path: Path, alone: Parallel, convention: str) -> None:
    write_dialogues(tmp_path / "train", 3, seconds=6)
    path = write_dialogue_recipe(tmp_path)
    made, dataset = assembled(load_recipe(path, [f"model.convention={convention}"]), alone)
    limit = made.recipe.model.options.max_frames  # type: ignore[attr-defined]
    codes: dict[tuple[str, str], list[torch.Tensor]] = {}
    for number, view in enumerate(made.corpus.samples):
        assert view.dialogue is not None
        example = dataset.example(number, None)
        assert example.frames <= limit + (convention == "jmoshi" and view.dialogue.piece[0] > 0)
        semantic = example.labels[1]
        codes.setdefault((view.key, view.dialogue.main), []).append(semantic[semantic != IGNORED])
    assert any(len(pieces) > 1 for pieces in codes.values())
    for sample in read_samples(tmp_path / "train"):
        for speaker in ("A", "B"):
            whole = made.layout.token_rows(sample, made.layout.waveforms(sample))["AB".index(speaker)][1]
            learned = torch.cat(codes[sample.key, speaker])
            assert torch.equal(learned, whole)


def test_token_files_train_alike(tmp_path: Path) -> None:
    write_dialogues(tmp_path / "train", 3)
    write_dialogues(tmp_path / "validation", 2, seed=1)
    path = write_dialogue_recipe(tmp_path)
    train(load_recipe(path, [f"train.output={tmp_path / 'a'}"]))
    expected = [line["loss"] for line in read_log(tmp_path / "a") if "loss" in line]
    for form in ("parquet", "npz"):
        folder = tmp_path / form
        done = CliRunner().invoke(app, ["encode", str(path), "-o", str(folder), "--to", form])
        assert done.exit_code == 0, done.output
        sources = {split: [str(p) for p in _files(folder, split, form)] for split in ("train", "validation")}
        run = tmp_path / f"run-{form}"
        again = [f"data.{split}=[{{path: [{', '.join(files)}]}}]" for split, files in sources.items()]
        train(load_recipe(path, [*again, f"train.output={run}"]))
        assert [line["loss"] for line in read_log(run) if "loss" in line] == expected


def _files(folder: Path, split: str, form: str) -> list[Path]:
    return [folder / f"{split}-001-of-001.parquet"] if form == "parquet" else sorted((folder / split).iterdir())


def test_an_error_rate_cannot_choose_the_best_dialogue_model(tmp_path: Path, alone: Parallel) -> None:
    write_dialogues(tmp_path / "train", 1)
    write_dialogues(tmp_path / "validation", 1, seed=1)
    recipe = load_recipe(write_dialogue_recipe(tmp_path), ["train.best=error_rate"])
    with pytest.raises(RecipeError, match=r"train\.best: moshi does not transcribe"):
        assemble(recipe, alone)


def test_check_says_what_text_is_not_learned(tmp_path: Path) -> None:
    write_dialogues(tmp_path / "train", 1)
    words = [{"speaker": "A", "word": "ひ", "start": 0.1, "end": 0.2}]
    times = [1.5 + n / 100 for n in range(40)]
    words += [{"speaker": "A", "word": "station", "start": start, "end": start + 0.01} for start in times]
    (tmp_path / "train" / "d000.json").write_text(json.dumps(words))
    report = check_recipe(load_recipe(write_dialogue_recipe(tmp_path)), quick=True)
    found = [finding.message for finding in report.warnings if finding.field == "sample"]
    assert any("text tokens of speaker A find no frame" in message for message in found)
    assert not report.errors
