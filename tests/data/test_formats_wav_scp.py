"""wav.scp and text: pairing by key, the file beside, and every way in which two lists disagree."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from voxtune.data.formats.lines import Problems
from voxtune.data.formats.wav_scp import read_recordings
from voxtune.data.manifest import read_samples
from voxtune.errors import DataError


def lists(folder: Path, scp: str, text: str | None) -> list[Path]:
    """Write the two lists; their paths."""
    (folder / "train_wav.scp").write_text(scp)
    if text is None:
        return [folder / "train_wav.scp"]
    (folder / "train_text.txt").write_text(text)
    return [folder / "train_wav.scp", folder / "train_text.txt"]


def test_pairs_by_key_in_any_order_and_keeps_the_recordings_order(tmp_path: Path) -> None:
    keys = [f"u{n}" for n in range(50)]
    shuffled = random.Random(0).sample(keys, 50)
    files = lists(
        tmp_path, "".join(f"{k}\t{k}.wav\n" for k in shuffled), "".join(f"{k}  text of   {k} \r\n\n" for k in keys)
    )
    samples = read_samples(files)
    assert [s.key for s in samples] == shuffled
    assert all(s.answer == f"text of   {s.key}" for s in samples)
    assert all(s.task == "asr" for s in samples)
    assert [s.model_dump() for s in read_samples(files[::-1])] == [s.model_dump() for s in samples]


@pytest.mark.parametrize(
    ("scp", "text"),
    [("train_wav.scp", "train_text.txt"), ("wav.scp", "text"), ("a.scp", "a.txt"), ("a.scp", "a_text.txt")],
)
def test_the_text_beside_a_single_scp_is_found(tmp_path: Path, scp: str, text: str) -> None:
    (tmp_path / scp).write_text("u1 a.wav\n")
    (tmp_path / text).write_text("u1 one\n")
    assert read_samples(tmp_path / scp)[0].answer == "one"
    problems = Problems()
    assert len(read_recordings(tmp_path / scp, problems)[0].turns) == 1


def test_two_texts_beside_a_single_scp_are_not_guessed(tmp_path: Path) -> None:
    for name in ("text", "text.txt"):
        (tmp_path / name).write_text("u1 one\n")
    (tmp_path / "wav.scp").write_text("u1 a.wav\n")
    with pytest.raises(DataError, match=r"wav\.scp: transcripts in text\.txt or in text\? Give both files"):
        read_samples(tmp_path / "wav.scp")


def test_without_a_text_there_is_no_answer(tmp_path: Path) -> None:
    sample = read_samples(lists(tmp_path, "u1 a.wav\n", None))[0]
    assert [turn.role for turn in sample.turns] == ["user"]


def test_paths_with_blanks_and_urls(tmp_path: Path) -> None:
    files = lists(tmp_path, "u1 my wavs/a b.wav\nu2 https://host/a b.wav\nu3 /abs/c.wav\n", "u1 1\nu2 2\nu3 3\n")
    paths = [sample.audio[0].path for sample in read_samples(files)]
    assert paths == [str(tmp_path / "my wavs" / "a b.wav"), "https://host/a b.wav", "/abs/c.wav"]


def test_paths_count_from_the_list_and_else_from_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lists_folder, here = tmp_path / "lists", tmp_path / "here"
    for folder, names in ((lists_folder, "ac"), (here, "ab")):
        folder.mkdir()
        for name in names:
            (folder / f"{name}.wav").touch()
    files = lists(lists_folder, "u1 a.wav\nu2 b.wav\nu3 none.wav\n", "u1 1\nu2 2\nu3 3\n")
    monkeypatch.chdir(here)
    paths = [Path(sample.audio[0].path) for sample in read_samples(files)]
    assert paths == [lists_folder / "a.wav", here / "b.wav", lists_folder / "none.wav"]


def test_all_disagreements_are_reported_at_once(tmp_path: Path) -> None:
    scp = "u1 a.wav\nu2\nu3 c.wav\nu1 d.wav\nu4 e.wav\nu5 sox f.wav -t wav - |\n"
    text = "u1 one\nu2 two\nu6 six\nu4\nu5 five\nu5 five again\n"
    scp_file, text_file = lists(tmp_path, scp, text)
    with pytest.raises(DataError) as error:
        read_samples([scp_file, text_file])
    assert str(error.value).splitlines() == [
        f"{scp_file}:2: path: nothing after the key, found 'u2'; write `key path`",
        f"{scp_file}:4: key: each key once, found 'u1' again (first on train_wav.scp:1); rename or remove it",
        f"{scp_file}:6: path: commands are not run, found 'sox f.wav -t wav - |'; give a file or a URL",
        f"{text_file}:4: text: nothing after the key, found 'u4'; write `key transcript`, or remove the key from "
        "both lists",
        f"{text_file}:6: key: each key once, found 'u5' again (first on train_text.txt:5); rename or remove it",
        f"{scp_file}:3: key: no transcript in train_text.txt, found 'u3'; add one, or remove this line",
        f"{text_file}:3: key: no recording in train_wav.scp, found 'u6'; add one, or remove this line",
    ]


def test_several_lists_are_one(tmp_path: Path) -> None:
    for part, keys in (("a", "12"), ("b", "34")):
        (tmp_path / f"{part}_wav.scp").write_text("".join(f"u{k} {k}.wav\n" for k in keys))
        (tmp_path / f"{part}_text.txt").write_text("".join(f"u{k} text {k}\n" for k in keys))
    both = [tmp_path / "a_wav.scp", tmp_path / "b_wav.scp"]
    texts = [tmp_path / "b_text.txt", tmp_path / "a_text.txt"]
    assert [s.key for s in read_samples(both)] == ["u1", "u2", "u3", "u4"]
    assert [s.answer for s in read_samples([*both, *texts])] == ["text 1", "text 2", "text 3", "text 4"]


def test_a_text_alone_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("u1 one\n")
    with pytest.raises(DataError, match=r"text\.txt: a list of texts alone; give the list of recordings"):
        read_samples(tmp_path / "text.txt")
