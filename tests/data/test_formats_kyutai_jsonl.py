"""kyutai's index: words beside the recordings, labels, lengths, and writing it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.dialogues import record_stereo
from voxtune.data.formats.lines import Problems
from voxtune.data.manifest import collect_samples, read_samples, recognised, write_samples
from voxtune.data.sample import AudioPart, Dialogue, Sample, Word
from voxtune.errors import DataError

ALIGNMENTS: list[Any] = [
    ["hello", [0.2, 0.6], "SPEAKER_MAIN"],
    ["hi", [0.9, 1.2], "SPEAKER_OTHER"],
    [" fine\nso ", [1.5, 1.9], "SPEAKER_MAIN"],
]


def index(folder: Path, alignments: Any = ALIGNMENTS, duration: Any = 2.0, **more: Any) -> Path:
    record_stereo(folder / "stereo" / "a.b.wav")
    (folder / "stereo" / "a.b.json").write_text(json.dumps({"alignments": alignments}))
    (folder / "data.jsonl").write_text(json.dumps({"path": "stereo/a.b.wav", "duration": duration, **more}) + "\n")
    return folder / "data.jsonl"


def test_an_index_is_recognised_and_read(tmp_path: Path) -> None:
    file = index(tmp_path)
    assert recognised(file) == "kyutai_jsonl"
    sample = read_samples(file)[0]
    assert sample.key == "stereo/a.b"
    assert sample.origin == f"{file}:1"
    assert sample.dialogue is not None
    assert sample.dialogue.audio == [AudioPart(path=f"{tmp_path}/stereo/a.b.wav")]
    assert sample.dialogue.main == "A"
    assert [(w.speaker, w.text, w.start, w.end) for w in sample.dialogue.words] == [
        ("A", "hello", 0.2, 0.6), ("B", "hi", 0.9, 1.2), ("A", " fine\nso ", 1.5, 1.9),
    ]  # fmt: skip


def test_other_jsonl_with_a_path_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"audio": "a.wav", "text": "x", "path": "y", "duration": 2.0}')
    assert recognised(tmp_path / "a.jsonl") == "plain_jsonl"


def test_what_nobody_reads_is_named(tmp_path: Path) -> None:
    file = index(tmp_path, speaker="me")
    words = tmp_path / "stereo" / "a.b.json"
    words.write_text(json.dumps({"alignments": ALIGNMENTS, "text_conditions": {"description": "calm"}}))
    problems = Problems()
    assert len(collect_samples(file, None, problems)) == 1
    assert problems.errors == []
    assert problems.unused == {(file, "speaker"): 1, (words, "text_conditions"): 1}


def test_words_that_lack(tmp_path: Path) -> None:
    file = index(tmp_path)
    (tmp_path / "stereo" / "a.b.json").unlink()
    with pytest.raises(DataError) as error:
        read_samples(file)
    assert str(error.value) == (
        f"{file}:1: path: no words, {tmp_path}/stereo/a.b.json does not exist; make it with kyutai's annotate.py"
    )


@pytest.mark.parametrize(("duration", "found"), [(1.95, None), (3.0, "3"), (0.5, "0.5")])
def test_the_length_is_the_recordings(tmp_path: Path, duration: float, found: str | None) -> None:
    problems = Problems()
    samples = collect_samples(index(tmp_path, duration=duration), None, problems)
    assert len(samples) == (found is None)
    expected = [f"{tmp_path}/data.jsonl:1: duration: the recording lasts 2.00 s, found {found}; correct it"]
    assert [str(problem) for problem in problems.errors] == (expected if found else [])


def test_a_recording_that_cannot_be_read_is_left_to_the_check(tmp_path: Path) -> None:
    file = index(tmp_path, duration=9.0)
    (tmp_path / "stereo" / "a.b.wav").unlink()
    assert len(read_samples(file)) == 1


def test_writing_and_reading_again(tmp_path: Path) -> None:
    words = [("B", "second", 1.0, 1.5), ("A", "first", 0.5, 0.9)]
    dialogue = Dialogue(
        audio=[AudioPart(path=str(record_stereo(tmp_path / "d.wav")))],
        words=[Word.model_validate({"speaker": s, "text": t, "start": b, "end": e}) for s, t, b, e in words],
    )
    out = tmp_path / "out" / "train.jsonl"
    written = write_samples([Sample(key="x/d", dialogue=dialogue)], out, "kyutai_jsonl")
    assert written == [out, tmp_path / "out" / "train_stereo"]
    assert json.loads(out.read_text()) == {"path": "train_stereo/d.wav", "duration": 2.0}
    assert (tmp_path / "out" / "train_stereo" / "d.wav").read_bytes() == (tmp_path / "d.wav").read_bytes()
    assert json.loads((tmp_path / "out" / "train_stereo" / "d.json").read_text()) == {
        "alignments": [["first", [0.5, 0.9], "SPEAKER_MAIN"], ["second", [1.0, 1.5], "SPEAKER_OTHER"]]
    }
    read = read_samples(out)[0]
    assert read.dialogue is not None
    assert read.dialogue.words == dialogue.words[::-1]
    with pytest.raises(DataError, match="train_stereo: a folder with files in it, the recordings would go there"):
        write_samples([Sample(key="x/d", dialogue=dialogue)], out, "kyutai_jsonl")
