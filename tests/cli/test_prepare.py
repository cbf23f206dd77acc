"""`voxtune prepare`: from any layout to any other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.helpers.fun_asr_nano_folder import TINY
from tests.helpers.recordings import record, tone
from voxtune.cli.main import app
from voxtune.errors import DataError


def prepare(*arguments: str | Path) -> Result:
    """Run the command; what goes wrong is raised."""
    return CliRunner().invoke(app, ["prepare", *map(str, arguments)], catch_exceptions=False)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for key in ("u1", "u2"):
        record(tmp_path / "wavs" / f"{key}.wav", tone(1.0))
    (tmp_path / "train_wav.scp").write_text("u1 wavs/u1.wav\nu2 wavs/u2.wav\n")
    (tmp_path / "train_text.txt").write_text("u2 two of them\nu1 one of them\n")
    return tmp_path


def test_says_what_was_recognised_and_written(folder: Path) -> None:
    result = prepare("train_wav.scp", "train_text.txt", "-o", "out/train.jsonl")
    assert result.exit_code == 0
    assert result.output.splitlines() == [
        "train_wav.scp: wav_scp", "train_text.txt: wav_scp", "2 samples -> out/train.jsonl",
    ]  # fmt: skip
    first, second = map(json.loads, (folder / "out" / "train.jsonl").read_text().splitlines())
    assert (first["key"], second["turns"][1]["parts"][0]["text"]) == ("u1", "two of them")


def test_there_and_back_again(folder: Path) -> None:
    tokenizer = TINY / "Qwen3-0.6B"
    prepare("train_wav.scp", "-o", "own.jsonl")
    prepare("own.jsonl", "-o", "chat.jsonl", "--to", "fun_asr_chatml", "--tokenizer", tokenizer)
    line = json.loads((folder / "chat.jsonl").read_text().splitlines()[0])
    assert line["speech_length"] == 98
    assert line["text_length"] > 2
    prepare("chat.jsonl", "-o", "plain.csv")
    prepare("plain.csv", "--from", "plain_table", "-o", "again_wav.scp")
    assert (folder / "again_wav.scp").read_text() == "chat-1 wavs/u1.wav\nchat-2 wavs/u2.wav\n"
    assert (folder / "again_text.txt").read_text() == "chat-1 one of them\nchat-2 two of them\n"


def test_unused_keys_are_said(folder: Path) -> None:
    (folder / "a.jsonl").write_text('{"audio": "wavs/u1.wav", "text": "one", "speaker": "[bold]"}\n')
    assert "warning: a.jsonl:1: speaker is not used" in prepare("a.jsonl", "-o", "b.jsonl").output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train_wav.scp", "-o", "train_wav.scp"], "train_wav.scp is a source and would be overwritten"),
        (["train_wav.scp", "-o", "out.xml"], "out.xml: no layout has this ending"),
        (["train_wav.scp", "-o", "out.jsonl", "--to", "kaldi"], "'kaldi' is no data layout"),
        (["train_wav.scp", "-o", "wavs", "--to", "voxtune_jsonl"], "wavs: cannot be written"),
        (["train_wav.scp", "-o", ".", "--to", "plain_jsonl"], ".: cannot be written"),
        (["train_wav.scp", "-o", "out.jsonl", "--to", "fun_asr_chatml"], "name the model's tokenizer folder"),
        (
            ["train_wav.scp", "-o", "o.jsonl", "--to", "fun_asr_chatml", "--tokenizer", "wavs"],
            "--tokenizer wavs: no tok",
        ),
        (["none.jsonl", "-o", "out.jsonl"], "none.jsonl: no such file"),
        (["wavs/u1.wav", "-o", "out.jsonl"], "wavs/u1.wav:1: not UTF-8 text"),
        (["wavs", "-o", "out.jsonl"], "wavs: holds recordings but no words (NAME.json); add them"),
    ],
)
def test_what_cannot_be_done_is_said(folder: Path, arguments: list[str], message: str) -> None:
    with pytest.raises(DataError) as error:
        prepare(*arguments)
    assert message in str(error.value)
    assert not (folder / "out.jsonl").exists()
