"""`voxtune check`: findings, statistics, exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.conftest import TinyAsr
from tests.helpers.recordings import record, tone
from voxtune.cli.check import SHOWN
from voxtune.cli.main import app
from voxtune.errors import DataError, RecipeError
from voxtune.families.fun_asr_nano import FunAsrNanoFamily


def check(*arguments: str) -> Result:
    """Run the command; what goes wrong is raised."""
    return CliRunner().invoke(app, ["check", *arguments], catch_exceptions=False)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Six recordings in train.jsonl."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    lines = []
    for number in range(6):
        record(tmp_path / f"{number}.wav", tone(2.0, seed=number))
        lines.append(f'{{"audio": "{number}.wav", "text": "the text number {number}"}}\n')
    (tmp_path / "train.jsonl").write_text("".join(lines))
    return tmp_path


def test_good_data(folder: Path) -> None:
    result = check("train.jsonl")
    assert result.exit_code == 0
    assert "0 errors, 0 warnings" in result.output
    assert "6 x 16000 Hz" in result.output


def test_errors_and_warnings(folder: Path) -> None:
    (folder / "1.wav").write_bytes(b"")
    record(folder / "2.wav", tone(2.0, level=0.001))
    result = check("train.jsonl", "--json", "report.json")
    assert result.exit_code == 1
    lines = result.output.splitlines()
    assert (
        lines[0]
        == f"error: train.jsonl:2: audio: {folder}/1.wav: an empty file (0 bytes); remove it or replace the file"
    )
    assert lines[1] == f"warning: train.jsonl:3: audio: {folder}/2.wav: very quiet, the loudest sample is at -60 dB"
    assert lines[-1] == "1 errors, 1 warnings"
    report = json.loads((folder / "report.json").read_text())
    assert [(f["file"], f["line"], f["key"], f["field"]) for f in report["errors"]] == [
        ("train.jsonl", 2, "train-2", "audio")
    ]
    assert report["statistics"]["data"]["samples"] == 6


def test_quick_decodes_nothing(folder: Path) -> None:
    record(folder / "2.wav", tone(2.0, level=0))
    assert check("train.jsonl", "--quick").exit_code == 0
    assert check("train.jsonl").exit_code == 1


def test_long_lists_are_cut(folder: Path) -> None:
    (folder / "bad.jsonl").write_text('{"audio": "none.wav", "text": ""}\n' * 60)
    output = check("bad.jsonl").output
    assert output.count("error: bad.jsonl:") == SHOWN
    assert f"... and {120 - SHOWN} more errors; --json FILE lists all" in output


def test_a_recipe(folder: Path, tiny_asr: TinyAsr, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FunAsrNanoFamily, "load", lambda *_, **__: tiny_asr.model)
    monkeypatch.setattr(FunAsrNanoFamily, "layout", lambda *_: tiny_asr.layout)
    (folder / "my.yaml").write_text(
        "model: {family: fun_asr_nano, source: tiny}\ndata: {train: train.jsonl, validation: train.jsonl}\n"
    )
    result = check("my.yaml", "data.validation=[]", "train.tokens_per_step=300")
    assert result.exit_code == 0
    assert "with 0.0 h of training data, train: audio_adaptor (tune.parts: auto does)" in result.output
    for row in ("tokens with a loss", "cost (tokens_per_step)", "padding: packed", "steps in an epoch"):
        assert row in result.output
    result = check("my.yaml")
    assert result.exit_code == 1
    assert "train.jsonl:1: audio: the same audio is in validation (train.jsonl:1)" in result.output


def test_what_cannot_be_read_is_said(folder: Path) -> None:
    with pytest.raises(DataError, match=r"none\.jsonl: no such file"):
        check("none.jsonl")
    with pytest.raises(RecipeError, match=r"none\.yaml: no such recipe"):
        check("none.yaml")
    with pytest.raises(DataError, match="cannot be written"):
        check("train.jsonl", "--json", ".")
