"""nu-dialogue's token files, npz pairs and parquet: shapes, partners, and one made of the other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.helpers.dialogues import codes, good_tokens, record_stereo, text, token_folders
from voxtune.data.encoded import read_encoded
from voxtune.data.formats.lines import Problems
from voxtune.data.manifest import collect_samples, read_samples, recognised, write_samples
from voxtune.data.sample import AudioPart, Dialogue, Encoded, Sample
from voxtune.errors import DataError


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOXTUNE_CACHE", str(tmp_path / "cache"))


def encoded(sample: Sample) -> Encoded:
    assert sample.dialogue is not None
    assert sample.dialogue.encoded is not None
    return sample.dialogue.encoded


def parquet(path: Path, rows: list[dict[str, Any]], schema: pa.Schema | None = None) -> Path:
    pq.write_table(pa.Table.from_pylist(rows, schema), path)
    return path


def row(key: str = "d", frames: int = 5, streams: int = 9, **changed: Any) -> dict[str, Any]:
    made = np.arange(streams * frames).reshape(streams, frames)
    return {"dialogue_id": key, "A": made.tolist(), "B": (made + 1).tolist(), **changed}


def test_npz_pairs_are_recognised_and_read_by_name(tmp_path: Path) -> None:
    audio, words = token_folders(tmp_path, {name: good_tokens(n, 12 + n) for n, name in enumerate(("d2", "d1.x"))})
    assert recognised(audio) == recognised(words) == recognised(tmp_path) == "moshi_npz"
    for source in ([audio, words], [words, audio], [tmp_path]):
        samples = read_samples(source)
        assert [sample.key for sample in samples] == ["d1.x", "d2"]
        assert encoded(samples[0]) == Encoded(
            path=f"{audio}/d1.x.npz", text=f"{words}/d1.x.npz", frames=13, seconds=13 / 12.5
        )
        assert samples[0].audio == []
        assert samples[0].duration([]) == 13 / 12.5


@pytest.mark.parametrize("length", [0, 5, 12, 30])
def test_text_is_cut_or_filled(tmp_path: Path, length: int) -> None:
    made, said = good_tokens()
    said["A"] = text(length, seed=9) if length else np.array([])
    sample = read_samples(token_folders(tmp_path, {"d": (made, said)}))[0]
    a, b = (tokens.numpy() for tokens in read_encoded(encoded(sample)))
    assert a.shape == b.shape == (9, 12)
    np.testing.assert_array_equal(a[0, :length], np.asarray(said["A"])[:12])
    np.testing.assert_array_equal(a[0, length:], 3)
    np.testing.assert_array_equal(a[1:], made["A"])
    np.testing.assert_array_equal(b, [said["B"], *np.asarray(made["B"])])
    assert read_encoded(encoded(sample), text_padding=7)[0][0, length:].tolist() == [7] * (12 - length)


def test_partners_that_lack_are_named(tmp_path: Path) -> None:
    audio, words = token_folders(tmp_path, {name: good_tokens() for name in "abc"})
    (audio / "a.npz").unlink()
    (words / "b.npz").unlink()
    problems = Problems()
    assert [sample.key for sample in collect_samples([audio, words], None, problems)] == ["c"]
    assert [str(problem) for problem in problems.errors] == [
        f"{words}/a.npz:1: partner: no a.npz in {audio}; add it, or remove a.npz",
        f"{audio}/b.npz:1: partner: no b.npz in {words}; add it, or remove b.npz",
    ]
    words = words.rename(tmp_path / "words")
    assert [sample.key for sample in collect_samples([words, audio], None, Problems())] == ["c"]
    with pytest.raises(DataError, match=r"tokenized_audio: holds codes \(NAME.npz\) but no text tokens"):
        read_samples(audio)


SHAPES: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "frames of A and B": (
        {"A": codes(5), "B": codes(6)}, {},
        "d.npz: A has the shape [8, 5] and B [8, 6]; they are heard at once, make it again",
    ),
    "codebooks of A and B": ({"B": codes(12, 7)}, {}, "d.npz: A has the shape [8, 12] and B [7, 12]"),
    "one dimension": ({"B": text(12)}, {}, "d.npz: B: an array of shape [12]; codes are [codebooks, frames]"),
    "no frames": ({"A": codes(0)}, {}, "d.npz: A: no codes, its shape is [8, 0]; remove the file or make it again"),
    "text of two dimensions": ({}, {"A": codes(12)}, "d.npz: A: an array of shape [8, 12]; text is [frames]"),
    "no B": ({"B": None}, {}, "d.npz: B: no such array, the file holds A; it must hold A and B"),
    "fractions": ({"A": codes(12) / 2}, {}, "d.npz: A: numbers of type float64; save it as integers (int64)"),
    "objects": ({}, {"B": np.array([1, "x"], object)}, "d.npz: B: pickled objects, which are never read; save it as"),
    "words": ({}, {"B": np.array(["hello"])}, "d.npz: B: numbers of type <U5; save it as integers (int64)"),
}  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
def test_arrays_that_do_not_fit(tmp_path: Path, name: str) -> None:
    changed_codes, changed_text, message = SHAPES[name]
    made, said = good_tokens()
    both = [
        {key: array for key, array in {**good, **changed}.items() if array is not None}
        for good, changed in ((made, changed_codes), (said, changed_text))
    ]
    folders = token_folders(tmp_path, {"d": (both[0], both[1]), "good": good_tokens(1)})
    problems = Problems()
    assert [sample.key for sample in collect_samples(folders, "moshi_npz", problems)] == ["good"]
    assert len(problems.errors) == 1
    assert str(problems.errors[0]).startswith(f"{folders[0]}/d.npz:1: tokens: {tmp_path}/")
    assert message in str(problems.errors[0])


def test_parquet_is_recognised_and_read_in_order(tmp_path: Path) -> None:
    files = [parquet(tmp_path / f"train-{n}.parquet", [row(f"{n}/a", 4), row(f"{n}/b", 6)]) for n in range(2)]
    assert recognised(files[0]) == "moshi_parquet"
    for source in (files, [tmp_path / "train-*.parquet"]):
        samples = read_samples(source)
        assert [sample.key for sample in samples] == ["0/a", "0/b", "1/a", "1/b"]
        assert [sample.origin for sample in samples] == [f"{file}:{n}" for file in files for n in (1, 2)]
        assert encoded(samples[3]) == Encoded(path=str(files[1]), row=1, frames=6, seconds=6 / 12.5)
        assert read_encoded(encoded(samples[3]))[1].tolist() == row(frames=6)["B"]
    with pytest.raises(DataError, match=r"eval-\*\.parquet: no file has such a name; correct the pattern"):
        read_samples(tmp_path / "eval-*.parquet")


def test_another_number_of_codebooks_and_narrow_types_are_read(tmp_path: Path) -> None:
    small = pa.list_(pa.list_(pa.uint16()))
    schema = pa.schema([("B", small), ("A", pa.large_list(pa.large_list(pa.int64()))), ("dialogue_id", pa.string())])
    file = parquet(tmp_path / "a.parquet", [row(streams=4)], schema)
    a, b = read_encoded(encoded(read_samples(file)[0]))
    assert [a.tolist(), b.tolist()] == [row(streams=4)["A"], row(streams=4)["B"]]


ROWS: dict[str, tuple[dict[str, Any], str]] = {
    "no id": ({"dialogue_id": None}, "dialogue_id: is empty; name the dialogue"),
    "empty id": ({"dialogue_id": ""}, "dialogue_id: is empty; name the dialogue"),
    "null": ({"A": None}, "A: 0 lists; there must be the text and the codes of each codebook"),
    "no lists": ({"B": []}, "B: 0 lists; there must be the text and the codes of each codebook"),
    "only text": ({"B": [[1, 2]]}, "B: 1 lists; there must be the text and the codes of each codebook"),
    "uneven": ({"A": [[1, 2], [1]]}, "A: lists of [2, 1] tokens; they must be equally long, and not empty"),
    "a null list": ({"A": [[1, 2], None]}, "A: lists of [2, -1] tokens; they must be equally long, and not empty"),
    "empty": ({"A": [[], []]}, "A: lists of [0, 0] tokens; they must be equally long, and not empty"),
    "frames of A and B": ({"A": [[1] * 4] * 9}, "B: 9 lists of 5 tokens, but 9 of 4 in A; they must have"),
    "codebooks of A and B": ({"A": [[1] * 5] * 8}, "B: 9 lists of 5 tokens, but 8 of 5 in A; they must have"),
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_rows_that_do_not_fit(tmp_path: Path, name: str) -> None:
    changed, message = ROWS[name]
    file = parquet(tmp_path / "a.parquet", [row("x", 4), row(**changed), row("y", 6)])
    problems = Problems()
    samples = collect_samples(file, None, problems)
    assert len(problems.errors) == 1
    assert str(problems.errors[0]).startswith(f"{file}:2: {message}")
    assert [(sample.key, read_encoded(encoded(sample))[0].tolist()) for sample in samples] == [
        ("x", row(frames=4)["A"]), ("y", row(frames=6)["A"]),
    ]  # fmt: skip


def test_columns_that_nobody_reads_are_named(tmp_path: Path) -> None:
    problems = Problems()
    file = parquet(tmp_path / "a.parquet", [row(source="radio")])
    assert len(collect_samples(file, None, problems)) == 1
    assert problems.unused == {(file, "source"): 1}


def test_npz_pairs_become_parquet_and_pairs_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = read_samples(token_folders(tmp_path / "x", {f"d{n}": good_tokens(n, 10 + n) for n in range(3)}))
    written = write_samples(before, Path("processed/x.parquet"))
    assert written == [Path("processed/x-001-of-001.parquet")]
    rows = read_samples(written)
    assert [sample.key for sample in rows] == [f"processed/x/d{n}" for n in range(3)]
    assert [s.key for s in read_samples(write_samples(rows, Path("y"), "moshi_parquet"))] == [s.key for s in rows]
    after = read_samples(write_samples(rows, Path("again"), "moshi_npz"))
    assert [sample.key for sample in after] == [sample.key for sample in before]
    for first, second, third in zip(before, rows, after, strict=True):
        for one, two, three in zip(*(read_encoded(encoded(s)) for s in (first, second, third)), strict=True):
            assert one.tolist() == two.tolist() == three.tolist()


@pytest.mark.parametrize("name", ["moshi_npz", "moshi_parquet"])
def test_what_layouts_of_tokens_cannot_hold(tmp_path: Path, name: str) -> None:
    heard = Dialogue(audio=[AudioPart(path=str(record_stereo(tmp_path / "a.wav")))])
    with pytest.raises(DataError, match=r"^sample 'a': recordings cannot be written in this layout, only tokens"):
        write_samples([Sample(key="a", dialogue=heard)], tmp_path / "out", name)
    sample = read_samples(token_folders(tmp_path / "x", {"d": good_tokens()}))[0]
    other = sample.model_copy(update={"dialogue": sample.dialogue and sample.dialogue.model_copy(update={"main": "B"})})
    with pytest.raises(DataError, match=r"main B cannot be written in this layout; write voxtune_jsonl"):
        write_samples([other], tmp_path / "out", name)
    assert not list(tmp_path.glob("out*"))
