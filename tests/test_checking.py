"""Checking data: each thing that is wrong gives its finding, and the numbers are right."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.conftest import TinyAsr
from tests.helpers.recordings import record, tone
from voxtune.checking import Finding, Report, check, check_files, check_recipe, split_bad
from voxtune.data.manifest import read_samples
from voxtune.data.sample import AudioPart, Sample, transcription
from voxtune.errors import DataError
from voxtune.families.fun_asr_nano import FunAsrNanoFamily
from voxtune.recipe import load_recipe

TEXT = "a text of some words"
SECONDS = 2.0


def sample(folder: Path, key: str, text: str = TEXT, **part: Any) -> Sample:
    """A sample with a tone of its own under its key."""
    path = folder / f"{key}.wav"
    if not path.exists():
        record(path, tone(SECONDS, seed=int(key[1:])))
    return transcription(key, AudioPart(path=str(path), **part), text).at(folder / "train.jsonl", int(key[1:]))


def messages(findings: list[Finding]) -> list[str]:
    return [f"{finding.key} {finding.field}: {finding.message}" for finding in findings]


def test_good_data_has_no_findings(tmp_path: Path, tiny_asr: TinyAsr) -> None:
    samples = [sample(tmp_path, f"u{n}", f"the text number {n}") for n in range(25)]
    for quick in (True, False):
        report = check({"train": samples}, tiny_asr.layout, quick=quick)
        assert messages(report.errors + report.warnings) == []


SIGNALS: dict[str, tuple[Callable[[], Any], str, str]] = {
    "silence": (lambda: tone(SECONDS, level=0), "error", "silence, the loudest sample is at -inf dB"),
    "dithered silence": (lambda: tone(SECONDS, level=2e-5), "error", "silence, the loudest sample is at -94 dB"),
    "quiet": (lambda: tone(SECONDS, level=0.002), "warning", "very quiet, the loudest sample is at -54 dB"),
    "clipped": (lambda: np.clip(tone(SECONDS, level=1.5), -1, 1), "warning", "clipped, "),
    "unscaled": (lambda: tone(SECONDS) * 32768, "error", "samples up to "),
    "not a number": (lambda: np.where(np.arange(32000) == 7, np.nan, tone(SECONDS)), "error", "1 samples are NaN"),
    "infinite": (
        lambda: np.where(np.arange(32000) > 9, np.inf, tone(SECONDS)),
        "error",
        "31990 samples are NaN or inf",
    ),
}


@pytest.mark.parametrize("name", SIGNALS)
def test_what_only_decoding_shows(tmp_path: Path, name: str) -> None:
    signal, severity, message = SIGNALS[name]
    record(tmp_path / "u1.wav", signal().astype(np.float32), subtype="FLOAT")
    report = check({"train": [sample(tmp_path, "u1")]})
    found = report.errors + report.warnings
    assert [finding.severity for finding in found] == [severity]
    assert found[0].message.startswith(f"{tmp_path / 'u1.wav'}: {message}")
    assert str(found[0]).startswith(f"{tmp_path / 'train.jsonl'}:1: audio: ")
    quick = check({"train": [sample(tmp_path, "u1")]}, quick=True)
    assert quick.errors + quick.warnings == []


def test_unreadable_recordings(tmp_path: Path) -> None:
    samples = [sample(tmp_path, f"u{n}", f"text number {n} here") for n in range(4)]
    (tmp_path / "u0.wav").unlink()
    (tmp_path / "u1.wav").write_bytes(b"")
    whole = (tmp_path / "u2.wav").read_bytes()
    (tmp_path / "u2.wav").write_bytes(whole[: len(whole) // 2])
    for quick in (True, False):
        report = check({"train": samples}, quick=quick)
        assert [finding.key for finding in report.errors] == ["u0", "u1", "u2"]
        for finding, reason in zip(report.errors, ("no such file", "an empty file", "cut off"), strict=True):
            assert reason in finding.message
        assert report.statistics["train"].hours == pytest.approx(SECONDS / 3600)


def test_a_missing_file_says_where_else_it_was_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    missing = transcription("u1", AudioPart(path=str(tmp_path / "wavs" / "a.wav")), TEXT).at(tmp_path / "t.jsonl", 1)
    message = check({"train": [missing]}, quick=True).errors[0].message
    assert message == f"{tmp_path}/wavs/a.wav: no such file, and none at {here}/wavs/a.wav either; correct the path"
    record(here / "wavs" / "a.wav")
    message = check({"train": [missing]}, quick=True).errors[0].message
    assert f"no such file, but {here}/wavs/a.wav exists" in message


def test_a_low_rate_is_a_warning(tmp_path: Path) -> None:
    record(tmp_path / "u1.wav", tone(SECONDS, 6000), 6000)
    report = check({"train": [sample(tmp_path, "u1")]}, quick=True)
    assert "6000 Hz" in report.warnings[0].message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no text to learn"),
        (" \n", "no text to learn"),
        ("word " * 3000, "tokens; the model takes 2048"),
        ("go<|im_end|>on", "which is a control token"),
    ],
)
def test_texts_are_held_to_the_layout(tmp_path: Path, tiny_asr: TinyAsr, text: str, message: str) -> None:
    report = check({"train": [sample(tmp_path, "u1", text)]}, tiny_asr.layout, quick=True)
    assert [finding.key for finding in report.errors] == ["u1"]
    assert message in report.errors[0].message


@pytest.mark.parametrize("seconds", [0.05, 121.0])
def test_lengths_are_held_to_the_layout(tmp_path: Path, tiny_asr: TinyAsr, seconds: float) -> None:
    record(tmp_path / "u1.wav", tone(seconds))
    report = check({"train": [sample(tmp_path, "u1")]}, tiny_asr.layout, quick=True)
    assert f"audio of {seconds:.2f} s; the model takes 0.1 to 120 s" in report.errors[0].message


def test_without_a_layout_empty_texts_are_errors(tmp_path: Path) -> None:
    report = check({"train": [sample(tmp_path, "u1", " ")]}, quick=True)
    assert messages(report.errors) == ["u1 text: no text to learn: the answer is empty; add it or leave the sample out"]


def test_strange_characters_are_warnings(tmp_path: Path) -> None:
    report = check({"train": [sample(tmp_path, "u1", "caf\ufffd \x07 or tea")]}, quick=True)
    assert "U+0007, U+FFFD in 'caf" in report.warnings[0].message


def test_repeated_keys(tmp_path: Path) -> None:
    first, second = sample(tmp_path, "u1"), sample(tmp_path, "u2")
    second.key = "u1"
    report = check({"train": [first, second]}, quick=True)
    assert messages(report.errors) == [f"u1 key: 'u1' is the key of {first.origin} too; rename one"]
    report = check({"train": [first, second.at(tmp_path / "other.jsonl", 2)]}, quick=True)
    assert report.errors == []
    assert messages(report.warnings) == [f"u1 key: 'u1' is the key of {first.origin} too; rename one"]


def test_the_same_audio_twice(tmp_path: Path) -> None:
    first, again, other = sample(tmp_path, "u1"), sample(tmp_path, "u2"), sample(tmp_path, "u3", "something else here")
    for name in ("u2", "u3"):
        (tmp_path / f"{name}.wav").write_bytes((tmp_path / "u1.wav").read_bytes())
    report = check({"train": [first, again, other]})
    assert report.errors == []
    assert messages(report.warnings) == [
        f"u2 audio: the same audio and text as {first.origin}; it counts twice",
        f"u3 text: the same audio as {first.origin} with another text; one of them is wrong",
    ]
    assert check({"train": [first, again, other]}, quick=True).warnings == []


def test_audio_in_train_and_validation_is_an_error_of_train(tmp_path: Path) -> None:
    train = [sample(tmp_path, f"u{n}", f"text number {n} here") for n in range(3)]
    record(tmp_path / "u7.flac", soundfile.read(train[1].audio[0].path, dtype="float32")[0])
    validation = [transcription("u7", AudioPart(path=str(tmp_path / "u7.flac")), TEXT).at(tmp_path / "val.jsonl", 1)]
    report = check({"train": train, "validation": validation})
    assert messages(report.errors) == [
        f"u1 audio: the same audio is in validation ({tmp_path / 'val.jsonl'}:1); keep it in one of them"
    ]
    good, skipped = split_bad([*train, *validation], report)
    assert [s.key for s in good] == ["u0", "u2", "u7"]
    assert [s.key for s in skipped] == ["u1"]
    assert len(check({"train": train, "validation": [train[2]]}, quick=True).errors) == 1


def test_parts_of_one_file_are_different_recordings(tmp_path: Path) -> None:
    first, second = sample(tmp_path, "u1", duration=1.0), sample(tmp_path, "u2", start=1.0)
    second.turns[0].audio[0].path = first.audio[0].path
    for quick in (True, False):
        assert check({"train": [first], "validation": [second]}, quick=quick).errors == []


def test_texts_that_do_not_fit_their_audio(tmp_path: Path) -> None:
    usual = [sample(tmp_path, f"u{n}", f"a text of number {n:02}") for n in range(24)]
    fast = sample(tmp_path, "u30", "quickly " * 15)
    slow = sample(tmp_path, "u31", "oh")
    record(tmp_path / "u32.wav", tone(10.0, seed=5))
    empty = sample(tmp_path, "u32", "oh")
    chinese = sample(tmp_path, "u33", "今天天气很好我们")
    findings = check({"train": [*usual, fast, slow, empty, chinese]}, quick=True).warnings
    assert messages(findings) == [
        "u30 text: 52.5 letters a second in 2.0 s is faster than anyone speaks; is the audio cut off, or the text "
        "another one's?",
        "u31 text: 1.0 letters a second in 2.0 s, the others have about 7.5; do audio and text belong together?",
        "u32 text: 0.2 letters a second in 10.0 s leaves most of the audio without text; is the text complete?",
    ]


def test_statistics(tmp_path: Path, tiny_asr: TinyAsr) -> None:
    random = np.random.default_rng(1)
    lengths = np.round(random.lognormal(np.log(2), 0.6, 40), 2)
    samples = []
    for number, length in enumerate(lengths):
        record(tmp_path / f"u{number}.wav", tone(float(length), 8000, seed=number), 8000)
        samples.append(sample(tmp_path, f"u{number}", f"word {number}"))
    report = check({"train": samples}, tiny_asr.layout, quick=True)
    found = report.statistics["train"]
    assert found.samples == 40
    assert found.sample_rates == {8000: 40}
    assert found.hours == pytest.approx(lengths.sum() / 3600)
    assert found.seconds is not None
    assert found.seconds.median == pytest.approx(np.median(lengths))
    assert found.seconds.most == pytest.approx(lengths.max())
    sizes = [tiny_asr.layout.size(s, [float(n)]) for s, n in zip(samples, lengths, strict=True)]
    assert found.cost == sum(size.cost for size in sizes)
    assert found.label_tokens == sum(size.labels for size in sizes)
    assert found.tokens is not None
    assert found.tokens.most == max(size.frames for size in sizes)
    assert found.padding_of_16 is not None
    assert 0.05 < found.padding_of_16 < 0.6
    measured = report.measurements["train"][3]
    assert measured is not None
    assert (measured.seconds, [view.size for view in measured.views]) == (lengths[3], [sizes[3]])


def test_quick_reads_ten_thousand_headers_fast(tmp_path: Path) -> None:
    record(tmp_path / "a.wav", tone(3.0))
    lines = [f'{{"audio": "a.wav", "text": "{TEXT}", "start": {n * 1e-4:.4f}, "duration": 2}}\n' for n in range(10_000)]
    (tmp_path / "many.jsonl").write_text("".join(lines))
    samples = read_samples(tmp_path / "many.jsonl")
    start = time.process_time()
    report = check({"train": samples}, quick=True)
    assert report.statistics["train"].samples == 10_000
    assert time.process_time() - start < 4.0


def test_lines_that_give_no_sample_are_findings(tmp_path: Path) -> None:
    record(tmp_path / "a.wav", tone(SECONDS))
    path = tmp_path / "data.jsonl"
    path.write_text(f'{{"audio": "a.wav", "text": "{TEXT}", "speaker": 1}}\n{{"audio": 5}}\n{{"aud\n')
    report = check_files([path])
    assert [str(finding) for finding in report.errors] == [
        f"{path}:2: audio: Input should be a valid string, found 5; correct it",
        f"{path}:3: line: not JSON (EOF while parsing a string at column 5), found '{{\"aud'; "
        "write one JSON object a line",
    ]
    assert [str(finding) for finding in report.warnings] == [f"{path}:1: speaker: is not used"]
    assert report.statistics["data"].samples == 1
    with pytest.raises(DataError, match="no such file"):
        check_files([tmp_path / "none.jsonl"])


@pytest.fixture
def recipe(tmp_path: Path, tiny_asr: TinyAsr, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe for the random tiny model."""
    monkeypatch.setattr(FunAsrNanoFamily, "load", lambda *_, **__: tiny_asr.model)
    monkeypatch.setattr(FunAsrNanoFamily, "layout", lambda *_: tiny_asr.layout)
    for split, numbers in (("train", range(6)), ("validation", range(6, 8))):
        lines = []
        for number in numbers:
            record(tmp_path / f"u{number}.wav", tone(SECONDS, seed=number))
            lines.append(json.dumps({"audio": f"u{number}.wav", "text": f"the text number {number}"}) + "\n")
        (tmp_path / f"{split}.jsonl").write_text("".join(lines))
    path = tmp_path / "my.yaml"
    path.write_text(
        "model: {family: fun_asr_nano, source: tiny}\n"
        f"data:\n  train:\n    - {{path: {tmp_path}/train.jsonl, weight: 2}}\n"
        f"  validation: {tmp_path}/validation.jsonl\n"
    )
    return path


def test_a_recipe_is_checked_for_its_model(recipe: Path) -> None:
    report = check_recipe(load_recipe(recipe, ["train.tokens_per_step=200"]))
    assert report.errors + report.warnings == []
    train = report.statistics["train"]
    assert (train.samples, report.statistics["validation"].samples) == (6, 2)
    assert train.cost is not None
    each = train.cost // 6
    assert train.steps == -(-12 // (200 // each))
    assert report.parts == ["audio_adaptor"]
    stored = json.loads(report.model_dump_json())
    assert stored["statistics"]["train"]["cost"] == train.cost
    assert "measurements" not in stored
    assert Report.model_fields.keys() - stored.keys() == {"measurements"}


def test_findings_of_a_recipe_name_their_split(recipe: Path) -> None:
    (recipe.parent / "u1.wav").unlink()
    (recipe.parent / "u7.wav").write_bytes((recipe.parent / "u2.wav").read_bytes())
    report = check_recipe(load_recipe(recipe))
    assert [(finding.split, finding.line) for finding in report.errors] == [("train", 2), ("train", 3)]
