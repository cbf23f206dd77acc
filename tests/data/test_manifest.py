"""Recognising layouts, reading several files as one source, converting between layouts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.recordings import record
from voxtune.data.formats import formats
from voxtune.data.formats.lines import SHOWN_PROBLEMS
from voxtune.data.manifest import read_samples, recognised, write_samples
from voxtune.data.sample import AudioPart, Sample, TextPart, Turn, transcription
from voxtune.errors import DataError

FILES = {
    "train_wav.scp": ("u1 a.wav\nu2 b.wav\n", "wav_scp"),
    "train_text.txt": ("u1 one\nu2 two\n", "wav_scp"),
    "own.jsonl": (
        '{"key": "u1", "turns": [{"role": "user", "parts": [{"kind": "audio", "path": "a.wav"}]},'
        ' {"role": "assistant", "parts": [{"kind": "text", "text": "one"}]}], "task": "asr"}\n',
        "voxtune_jsonl",
    ),
    "chat.jsonl": (
        '{"messages": [{"role": "user", "content": "<|startofspeech|>!a.wav<|endofspeech|>"},'
        ' {"role": "assistant", "content": "one"}], "key": "u1"}\n',
        "fun_asr_chatml",
    ),
    "plain.jsonl": ('\n{"audio": "a.wav", "text": "one", "key": "u1"}\n', "plain_jsonl"),
    "plain.csv": ("key,audio,text\nu1,a.wav,one\n", "plain_table"),
    "plain.TSV": ("text\taudio\tkey\r\none\ta.wav\tu1\r\n", "plain_table"),
}

DIALOGUES = {"moshi", "moshi_npz", "moshi_parquet", "kyutai_jsonl"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, (content, _) in FILES.items():
        (tmp_path / name).write_text(content, encoding="utf-8-sig" if name == "plain.csv" else "utf-8", newline="")
    return tmp_path


@pytest.mark.parametrize("name", FILES)
def test_each_layout_is_recognised(folder: Path, name: str) -> None:
    assert recognised(folder / name) == FILES[name][1]


@pytest.mark.parametrize("name", [name for name in FILES if name != "train_text.txt"])
def test_each_layout_gives_the_same_sample_with_its_place(folder: Path, name: str) -> None:
    sample = read_samples(folder / name)[0]
    assert sample.key == "u1"
    assert sample.audio == [AudioPart(path=str(folder / "a.wav"))]
    assert sample.answer == "one"
    line = 2 if name.startswith("plain") else 1
    assert sample.origin == f"{folder / name}:{line}"


def test_several_files_are_one_source_in_order(folder: Path) -> None:
    names = ["plain.csv", "train_text.txt", "train_wav.scp", "chat.jsonl"]
    samples = read_samples([folder / name for name in names])
    assert [(s.key, Path(s.origin).name) for s in samples] == [
        ("u1", "plain.csv:2"), ("u1", "train_wav.scp:1"), ("u2", "train_wav.scp:2"), ("u1", "chat.jsonl:1"),
    ]  # fmt: skip


def test_a_named_layout_wins(folder: Path) -> None:
    (folder / "plain.csv").rename(folder / "plain.dat")
    with pytest.raises(DataError, match=r"plain\.dat: in no known layout.*\n.*fun_asr_chatml: (.*\n)+.*plain_jsonl: "):
        read_samples(folder / "plain.dat")
    assert read_samples(folder / "plain.dat", "plain_table")[0].key == "u1"
    with pytest.raises(DataError, match=r"'kaldi' is no data layout; there are fun_asr_chatml, .*plain_jsonl"):
        read_samples(folder / "plain.dat", "kaldi")


def test_the_first_problems_of_a_file_are_listed_and_the_others_counted(tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text('{"audio": "a.wav", "text": "five", "start": -1}\n' * 30)
    with pytest.raises(DataError) as error:
        read_samples(path)
    lines = str(error.value).splitlines()
    assert len(lines) == SHOWN_PROBLEMS + 1
    expected = f"{path}:1: start: Input should be greater than or equal to 0, found -1.0; correct it"
    assert lines[0] == expected
    assert lines[-1] == "... and 10 more problems like these"


def conversation(tmp_path: Path) -> Sample:
    """A sample that uses every field which the own layout and ChatML have in common."""
    audio = AudioPart(path=str(record(tmp_path / "wavs" / "a.wav")))
    turns = [
        Turn(role="system", parts=[TextPart(text="You listen.")]),
        Turn(role="user", parts=[TextPart(text="Listen: "), audio, TextPart(text=" and now?")]),
        Turn(role="assistant", parts=[TextPart(text="It was ", trained=False), TextPart(text="a tone.")]),
        Turn(role="user", parts=[TextPart(text="And?")]),
        Turn(role="assistant", parts=[TextPart(text="Nothing “else”\u2028.")]),
    ]
    return Sample(key="c 1", turns=turns, hotwords=["sine", "tone"], first_pass="it was a stone", history="before")


def test_own_layout_keeps_everything(tmp_path: Path) -> None:
    far = AudioPart(path="/elsewhere/b.flac", start=1.5, duration=2.25, channel=1)
    plain = transcription("u2", far, "text").model_copy(update={"language": "zh", "text_normalization": False})
    remote = transcription("u3", AudioPart(path="https://host/c.mp3"), "")
    samples = [conversation(tmp_path), plain, remote]
    assert write_samples(samples, tmp_path / "out.jsonl") == [tmp_path / "out.jsonl"]
    text = (tmp_path / "out.jsonl").read_text()
    assert '"path": "wavs/a.wav"' in text
    assert "null" not in text
    read = read_samples(tmp_path / "out.jsonl")
    assert [s.model_dump() for s in read] == [s.model_dump() for s in samples]


def test_own_layout_moves_with_its_folder(tmp_path: Path) -> None:
    write_samples([conversation(tmp_path / "old")], tmp_path / "old" / "out.jsonl")
    (tmp_path / "old").rename(tmp_path / "new")
    sample = read_samples(tmp_path / "new" / "out.jsonl")[0]
    assert sample.audio[0].path == str(tmp_path / "new" / "wavs" / "a.wav")


@pytest.mark.parametrize("name", sorted(formats().keys() - DIALOGUES))
def test_transcriptions_survive_every_layout(tmp_path: Path, name: str) -> None:
    recordings = [record(tmp_path / f"wavs/{n} x.wav") for n in range(3)]
    texts = ["  one, two ".strip(), '三 "four"', "a\tb" if name != "wav_scp" else "a b"]
    samples = [
        transcription(f"u{n}", AudioPart(path=str(path)), text)
        for n, (path, text) in enumerate(zip(recordings, texts, strict=True))
    ]
    suffix = {"plain_table": ".csv", "wav_scp": ".scp"}.get(name, ".jsonl")
    written = write_samples(samples, tmp_path / f"train_wav{suffix}", name, len)
    read = read_samples(written)
    assert [s.answer for s in read] == texts
    assert [s.audio for s in read] == [s.audio for s in samples]
    if name != "fun_asr_chatml":
        assert [s.model_dump() for s in read] == [s.model_dump() for s in samples]
        assert {recognised(path) for path in written} == {name}


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("plain_jsonl", "only one recording with one transcript can be written"),
        ("plain_table", "only one recording with one transcript can be written"),
        ("wav_scp", "only one recording with one transcript can be written"),
        *((name, "turns cannot be written in this layout, only two-speaker dialogues") for name in sorted(DIALOGUES)),
    ],
)
def test_what_a_layout_cannot_hold_is_refused(tmp_path: Path, name: str, complaint: str) -> None:
    path = tmp_path / "out.scp"
    with pytest.raises(DataError, match=f"sample 'c 1': {complaint}"):
        write_samples([conversation(tmp_path)], path, name)
    assert not path.exists()


def test_the_ending_of_an_output_must_be_known(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"out\.xml: no layout has this ending; name one of .*\(--to\)"):
        write_samples([], tmp_path / "out.xml")
