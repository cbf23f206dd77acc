"""voxtune's own JSON lines keep all of a dialogue, and move with their folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.helpers.dialogues import folder_of_dialogues, good_tokens, token_folders
from voxtune.data.encoded import read_encoded
from voxtune.data.manifest import read_samples, write_samples
from voxtune.data.sample import AudioPart, Dialogue, Encoded, Sample, Word

WORD = Word(speaker="B", text="hi “you”", start=-0.5, end=1.25)

DIALOGUES = {
    "stereo": Dialogue(audio=[AudioPart(path="/far/a.wav")]),
    "part": Dialogue(audio=[AudioPart(path="/far/a.wav", start=1.5, duration=2.0)], words=[WORD]),
    "two files": Dialogue(audio=[AudioPart(path="/far/a.wav", channel=1), AudioPart(path="https://host/b.wav")]),
    "main and piece": Dialogue(audio=[AudioPart(path="/far/a.wav")], main="B", piece=(2, 3)),
    "row": Dialogue(encoded=Encoded(path="/far/t.parquet", row=7, frames=5, seconds=0.4), words=[WORD]),
    "first row": Dialogue(encoded=Encoded(path="/far/t.parquet", frames=5, seconds=0.4)),
    "npz": Dialogue(encoded=Encoded(path="/far/a/t.npz", text="/far/t/t.npz", frames=5, seconds=0.4)),
}


@pytest.mark.parametrize("name", DIALOGUES)
def test_everything_is_kept(tmp_path: Path, name: str) -> None:
    sample = Sample(key=name, dialogue=DIALOGUES[name], language="ja")
    write_samples([sample], tmp_path / "out.jsonl")
    assert [s.model_dump() for s in read_samples(tmp_path / "out.jsonl")] == [sample.model_dump()]


def test_only_what_differs_from_the_default_is_written(tmp_path: Path) -> None:
    write_samples([Sample(key="d", dialogue=DIALOGUES["stereo"])], tmp_path / "out.jsonl")
    assert json.loads((tmp_path / "out.jsonl").read_text()) == {
        "key": "d", "dialogue": {"audio": [{"kind": "audio", "path": "/far/a.wav"}]},
    }  # fmt: skip
    write_samples([Sample(key="d", dialogue=DIALOGUES["first row"])], tmp_path / "out.jsonl")
    assert json.loads((tmp_path / "out.jsonl").read_text()) == {
        "key": "d", "dialogue": {"encoded": {"path": "/far/t.parquet", "frames": 5, "seconds": 0.4}},
    }  # fmt: skip


def test_paths_move_with_their_folder(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    samples = read_samples(folder_of_dialogues(old / "calls", ["a"]))
    samples += read_samples(token_folders(old, {"b": good_tokens()}))
    before = [
        tokens.tolist()
        for s in samples[1:]
        if s.dialogue and s.dialogue.encoded
        for tokens in read_encoded(s.dialogue.encoded)
    ]
    write_samples(samples, old / "all.jsonl")
    lines = [json.loads(line)["dialogue"] for line in (old / "all.jsonl").read_text().splitlines()]
    assert lines[0]["audio"][0]["path"] == "calls/a.wav"
    assert lines[1]["encoded"]["path"] == "tokenized_audio/b.npz"
    assert lines[1]["encoded"]["text"] == "tokenized_text/b.npz"
    old.rename(new)
    heard, encoded = (sample.dialogue for sample in read_samples(new / "all.jsonl"))
    assert heard is not None
    assert heard.audio == [AudioPart(path=f"{new}/calls/a.wav")]
    assert encoded is not None
    assert encoded.encoded is not None
    assert [tokens.tolist() for tokens in read_encoded(encoded.encoded)] == before
