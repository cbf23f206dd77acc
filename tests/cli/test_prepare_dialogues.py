"""`voxtune prepare` with dialogues: folders, two of them, patterns, and upstream's preparation of token files."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.helpers.dialogues import folder_of_dialogues, good_tokens, token_folders
from voxtune.cli.main import app
from voxtune.errors import DataError


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOXTUNE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def prepare(*arguments: str) -> Result:
    """Run the command; what goes wrong is raised."""
    return CliRunner().invoke(app, ["prepare", *arguments], catch_exceptions=False)


def test_a_folder_becomes_a_file_and_a_folder_again() -> None:
    folder_of_dialogues(Path("calls"), ["a", "b"])
    assert prepare("calls", "-o", "train.jsonl").output.splitlines() == ["calls: moshi", "2 samples -> train.jsonl"]
    assert prepare("train.jsonl", "-o", "again", "--to", "moshi").output.splitlines()[1] == "2 samples -> again"
    assert sorted(file.name for file in Path("again").iterdir()) == ["a.json", "a.wav", "b.json", "b.wav"]
    prepare("train.jsonl", "-o", "k.jsonl", "--to", "kyutai_jsonl")
    assert prepare("k.jsonl", "-o", "own.jsonl").output.splitlines()[0] == "k.jsonl: kyutai_jsonl"
    with pytest.raises(DataError, match="again: a folder with files in it; give a new one"):
        prepare("train.jsonl", "-o", "again", "--to", "moshi")


def test_token_files_become_parquet_files_and_a_pattern_finds_them() -> None:
    token_folders(Path("x"), {"a": good_tokens(), "b": good_tokens(1)})
    result = prepare("x/tokenized_text", "x/tokenized_audio", "-o", "processed/x/train", "--to", "moshi_parquet")
    assert result.output.splitlines() == [
        "x/tokenized_text: moshi_npz", "x/tokenized_audio: moshi_npz",
        "2 samples -> processed/x/train-001-of-001.parquet",
    ]  # fmt: skip
    assert prepare("processed/x/train-*.parquet", "-o", "train.jsonl").output.splitlines() == [
        "processed/x/train-001-of-001.parquet: moshi_parquet", "2 samples -> train.jsonl",
    ]  # fmt: skip
    with pytest.raises(DataError, match=r"processed/y-\*: no file has such a name; correct the pattern"):
        prepare("processed/y-*", "-o", "train.jsonl")


def test_a_folder_of_two_layouts_is_not_guessed() -> None:
    folder_of_dialogues(Path("x/audio"), ["a"])
    Path("x/text").mkdir()
    Path("x/audio/a.json").rename("x/text/a.json")
    token_folders(Path("x"), {"a": good_tokens()})
    with pytest.raises(DataError, match=r"^x: could be moshi or moshi_npz; name one \(--from, or data\.train\.format"):
        prepare("x", "-o", "train.jsonl")
    assert "1 samples" in prepare("x", "-o", "train.jsonl", "--from", "moshi").output
