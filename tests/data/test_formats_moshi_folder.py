"""nu-dialogue's folders: one or two of them, recordings and words that lack each other, and writing them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.helpers.dialogues import WORDS, folder_of_dialogues, record_stereo
from tests.helpers.recordings import record, tone
from voxtune.data.formats.lines import Problems
from voxtune.data.manifest import collect_samples, read_samples, recognised, write_samples
from voxtune.data.sample import AudioPart, Dialogue, Encoded, Sample, Word
from voxtune.errors import DataError


def two_folders(folder: Path, names: list[str]) -> list[Path]:
    folder_of_dialogues(folder / "audio", names)
    (folder / "text").mkdir()
    for name in names:
        (folder / "audio" / f"{name}.json").rename(folder / "text" / f"{name}.json")
    return [folder / "audio", folder / "text"]


def keys(samples: list[Sample]) -> list[str]:
    return [sample.key for sample in samples]


def test_a_folder_is_recognised_and_read_by_name(tmp_path: Path) -> None:
    folder = folder_of_dialogues(tmp_path, ["d2", "d10", "d1.x"])
    (folder / "notes.txt").touch()
    (folder / "._d2.wav").touch()
    assert recognised(folder) == "moshi"
    samples = read_samples(folder)
    assert keys(samples) == ["d1.x", "d10", "d2"]
    first = samples[0]
    assert first.dialogue is not None
    assert first.dialogue.audio == [AudioPart(path=f"{folder}/d1.x.wav")]
    assert [(w.speaker, w.text, w.start, w.end) for w in first.dialogue.words] == [
        (w["speaker"], w["word"], w["start"], w["end"]) for w in WORDS
    ]
    assert [part.channel for part in first.audio] == [0, 1]
    assert first.origin == f"{folder}/d1.x.json:1"


def test_two_folders_in_any_order_or_the_one_that_holds_them(tmp_path: Path) -> None:
    audio, text = two_folders(tmp_path / "x", ["b", "a"])
    for source in ([audio, text], [text, audio], [tmp_path / "x"]):
        samples = read_samples(source)
        assert keys(samples) == ["a", "b"]
        assert [s.audio[0].path for s in samples] == [f"{audio}/a.wav", f"{audio}/b.wav"]
    other = two_folders(tmp_path / "y", ["a"])
    samples = read_samples([tmp_path / "x", *other])
    assert [s.audio[0].path for s in samples] == [f"{audio}/a.wav", f"{audio}/b.wav", f"{other[0]}/a.wav"]


def test_words_stay_in_their_order_and_any_audio_file_will_do(tmp_path: Path) -> None:
    record_stereo(tmp_path / "d.flac")
    (tmp_path / "d.json").write_text(json.dumps(WORDS[::-1]))
    dialogue = read_samples(tmp_path)[0].dialogue
    assert dialogue is not None
    assert [word.text for word in dialogue.words] == ["fine", "hi", "hello"]
    (tmp_path / "d.json").write_text("[]")
    assert read_samples(tmp_path)[0].dialogue == Dialogue(audio=[AudioPart(path=f"{tmp_path}/d.flac")])


def test_partners_that_lack_are_named(tmp_path: Path) -> None:
    audio, text = two_folders(tmp_path, ["a", "b", "c"])
    (audio / "a.wav").unlink()
    (text / "c.json").unlink()
    problems = Problems()
    samples = collect_samples([audio, text], None, problems)
    assert keys(samples) == ["b"]
    assert [str(problem) for problem in problems.errors] == [
        f"{text}/a.json:1: partner: no a.wav in {audio}; add it, or remove a.json",
        f"{audio}/c.wav:1: partner: no c.json in {text}; add it, or remove c.wav",
    ]


def test_one_folder_of_two(tmp_path: Path) -> None:
    audio, text = two_folders(tmp_path, ["a"])
    with pytest.raises(
        DataError, match=rf"^{audio}: holds recordings but no words \(NAME.json\); add them, or give the folder"
    ):
        read_samples(audio)
    with pytest.raises(
        DataError, match=rf"^{text}: holds words \(NAME.json\) but no recordings; add them, or give the folder"
    ):
        read_samples([tmp_path, text], "moshi")


def test_no_folder_of_dialogues(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(DataError, match=r": in no known layout, a folder without files of one; the layouts are"):
        recognised(tmp_path)
    with pytest.raises(DataError, match=r": holds neither recordings nor words \(NAME.json\); give another folder"):
        read_samples(tmp_path, "moshi")
    with pytest.raises(DataError, match=r"notes\.txt: no folder; give the folder that has audio and text in it"):
        read_samples(tmp_path / "notes.txt", "moshi")
    with pytest.raises(DataError, match=r"gone: no folder"):
        read_samples(tmp_path / "gone", "moshi")
    with pytest.raises(DataError, match=r"gone: no such file"):
        read_samples(tmp_path / "gone")
    record_stereo(tmp_path / "a.wav")
    record_stereo(tmp_path / "a.flac")
    with pytest.raises(DataError, match=r"a\.wav: a\.flac is there too; remove one of them"):
        read_samples(tmp_path)


def test_keys_that_nobody_reads_are_named_and_slips_are_errors(tmp_path: Path) -> None:
    folder_of_dialogues(tmp_path, ["a"], [{**WORDS[0], "score": 0.5}, {**WORDS[1], "score": 0.7}])
    problems = Problems()
    assert len(collect_samples(tmp_path, None, problems)) == 1
    assert problems.errors == []
    assert problems.unused == {(tmp_path / "a.json", "score"): 1}
    folder_of_dialogues(tmp_path, ["a"], [{**WORDS[0], "strat": 0.5}])
    with pytest.raises(DataError, match=r"a\.json:1: strat: unknown key; did you mean 'start'\?"):
        read_samples(tmp_path)


def words(dialogue: Any) -> list[Word]:
    return [Word(speaker=w["speaker"], text=w["word"], start=w["start"], end=w["end"]) for w in dialogue]


def test_writing_copies_stereo_files(tmp_path: Path) -> None:
    samples = read_samples(folder_of_dialogues(tmp_path / "old", ["a", "b"]))
    assert write_samples(samples, tmp_path / "new", "moshi") == [tmp_path / "new"]
    for name in ("a", "b"):
        assert (tmp_path / "new" / f"{name}.wav").read_bytes() == (tmp_path / "old" / f"{name}.wav").read_bytes()
        assert json.loads((tmp_path / "new" / f"{name}.json").read_text()) == WORDS
    read = read_samples(tmp_path / "new")
    assert [s.dialogue and s.dialogue.words for s in read] == [s.dialogue and s.dialogue.words for s in samples]


@pytest.mark.parametrize(("subtype", "written"), [("PCM_16", "PCM_16"), ("FLOAT", "FLOAT")])
def test_writing_joins_and_cuts_without_changing_a_sample(tmp_path: Path, subtype: str, written: str) -> None:
    a, b = tone(1.0, 8000), tone(1.05, 8000, seed=1)
    files = [record(tmp_path / f"{name}.wav", wave, 8000, subtype=subtype) for name, wave in (("a", a), ("b", b))]
    both = [AudioPart(path=str(file)) for file in files]
    cut = [
        AudioPart(path=str(record(tmp_path / "c.wav", np.stack([a, a[::-1]], 1), 8000, subtype=subtype)), start=0.25)
    ]
    samples = [Sample(key="x/two", dialogue=Dialogue(audio=both)), Sample(key="cut", dialogue=Dialogue(audio=cut))]
    write_samples(samples, tmp_path / "new", "moshi")
    stored = {name: soundfile.read(tmp_path / f"{name}.wav", dtype="float32")[0] for name in "abc"}
    two, rate = soundfile.read(tmp_path / "new" / "two.wav", dtype="float32")
    assert rate == 8000
    assert soundfile.info(tmp_path / "new" / "two.wav").subtype == written
    np.testing.assert_array_equal(two[:8000, 0], stored["a"])
    np.testing.assert_array_equal(two[8000:, 0], 0)
    np.testing.assert_array_equal(two[:, 1], stored["b"])
    np.testing.assert_array_equal(soundfile.read(tmp_path / "new" / "cut.wav", dtype="float32")[0], stored["c"][2000:])


def recorded(path: Path, **fields: Any) -> Sample:
    return Sample(key="a", dialogue=Dialogue(audio=[AudioPart(path=str(record_stereo(path)))], **fields))


def test_what_cannot_be_written_is_refused_before_anything_is(tmp_path: Path) -> None:
    good = recorded(tmp_path / "a.wav")
    encoded = Sample(key="e", dialogue=Dialogue(encoded=Encoded(path="e.parquet", frames=5, seconds=0.4)))
    refused = {
        "sample 'a': main B cannot be written in this layout": recorded(tmp_path / "a.wav", main="B"),
        "sample 'a': a piece of a dialogue cannot be written": recorded(tmp_path / "a.wav", piece=(1, 3)),
        "sample 'e': tokens cannot be written in this layout, only recordings": encoded,
        "sample 'a': its file would be called a, as that of sample 'x/a'": good,
        "sample '..': the key '..' cannot be the name of a file": good.model_copy(update={"key": ".."}),
    }
    for message, sample in refused.items():
        with pytest.raises(DataError, match=f"^{message}"):
            write_samples([good.model_copy(update={"key": "x/a"}), sample], tmp_path / "new", "moshi")
    short = [
        AudioPart(path=str(record(tmp_path / "s.wav", tone(0.5, 8000), 8000))),
        AudioPart(path=f"{tmp_path}/a.wav"),
    ]
    with pytest.raises(DataError, match=r"^sample 's': A lasts 0\.50 s and B 2\.00 s; make them equally long"):
        write_samples([Sample(key="s", dialogue=Dialogue(audio=short))], tmp_path / "new", "moshi")
    other = [AudioPart(path=str(record(tmp_path / "r.wav", tone(2.0, 16000)))), AudioPart(path=f"{tmp_path}/a.wav")]
    with pytest.raises(DataError, match=r"^sample 'r': A has 16000 Hz and B 8000 Hz; resample one"):
        write_samples([Sample(key="r", dialogue=Dialogue(audio=other))], tmp_path / "new", "moshi")
    assert not (tmp_path / "new").exists()
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "x").touch()
    with pytest.raises(DataError, match=r"new: a folder with files in it; give a new one"):
        write_samples([good], tmp_path / "new", "moshi")
