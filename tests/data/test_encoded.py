"""Tokens of dialogues in files: written whole, read at random, and noticed when they have changed."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from tests.helpers.dialogues import good_tokens, token_folders
from voxtune.data.encoded import read_encoded, write_encoded_npz, write_encoded_parquet
from voxtune.data.parquet_rows import open_rows
from voxtune.data.sample import Encoded
from voxtune.errors import DataError

Row = tuple[str, np.ndarray, np.ndarray]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOXTUNE_CACHE", str(tmp_path / "cache"))


def rows(number: int, streams: int = 9) -> Iterator[Row]:
    random = np.random.default_rng(number)
    for n in range(number):
        frames = int(random.integers(1, 30))
        yield f"x/d{n}", random.integers(0, 2048, (streams, frames)), random.integers(0, 32000, (streams, frames))


def encoded(path: Path, row: int, frames: int) -> Encoded:
    return Encoded(path=str(path), row=row, frames=frames, seconds=frames / 12.5)


def same(row: Row, path: Path, number: int) -> bool:
    """Whether a file's row holds the tokens; data workers ask too."""
    a, b = read_encoded(encoded(path, number, row[1].shape[1]))
    return a.dtype == torch.int64 and a.tolist() == row[1].tolist() and b.tolist() == row[2].tolist()


@pytest.mark.parametrize(("number", "per_file", "files"), [(1, 5, 1), (10, 5, 2), (11, 5, 3), (700, 300, 3)])
def test_rows_come_back_from_their_files(tmp_path: Path, number: int, per_file: int, files: int) -> None:
    written = write_encoded_parquet(rows(number), tmp_path / "out" / "train", number, per_file)
    assert [file.name for file in written] == [f"train-{n:03d}-of-{files:03d}.parquet" for n in range(1, files + 1)]
    assert sorted((tmp_path / "out").iterdir()) == written
    expected = list(rows(number))
    for n in np.random.default_rng(0).permutation(number)[:100].tolist():
        assert same(expected[n], written[n // per_file], n % per_file)
    ids = [key for file in written for key in pq.read_table(file)["dialogue_id"].to_pylist()]
    assert ids == [key for key, _, _ in expected]


def test_tensors_are_written_too(tmp_path: Path) -> None:
    tensors = [(key, torch.from_numpy(a), torch.from_numpy(b)) for key, a, b in rows(2)]
    file = write_encoded_parquet(tensors, tmp_path / "t", 2)[0]
    assert all(same(row, file, n) for n, row in enumerate(rows(2)))


def test_rows_are_taken_as_they_come(tmp_path: Path) -> None:
    """A corpus never lies in memory: when the last row is made, the first files are there."""
    seen = []

    def watched() -> Iterator[Row]:
        for row in rows(1000):
            seen.append(len(list(tmp_path.glob("train-*.parquet"))))
            yield row

    write_encoded_parquet(watched(), tmp_path / "train", 1000, 300)
    assert [seen[n] for n in (0, 299, 300, 600, 999)] == [0, 0, 1, 2, 3]


@pytest.mark.parametrize(("announced", "message"), [(3, "more than the 3 rows"), (5, "fewer than the 5 rows")])
def test_the_number_of_rows_is_held_to(tmp_path: Path, announced: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        write_encoded_parquet(rows(4), tmp_path / "t", announced)
    assert announced == 3 or list(tmp_path.iterdir()) == []


def test_a_file_is_whole_or_not_there(tmp_path: Path) -> None:
    def broken() -> Iterator[Row]:
        yield from rows(3)
        raise DataError("d4.wav: gone")

    with pytest.raises(DataError, match=r"d4\.wav: gone"):
        write_encoded_parquet(broken(), tmp_path / "t", 4, 2)
    assert [file.name for file in tmp_path.iterdir()] == ["t-001-of-002.parquet"]


def test_files_of_another_run_are_not_mixed_in(tmp_path: Path) -> None:
    write_encoded_parquet(rows(4), tmp_path / "t[1]", 4, 2)
    with pytest.raises(DataError, match=r"t\[1\]-00[12]-of-002\.parquet: is there from before .*; remove it"):
        write_encoded_parquet(rows(4), tmp_path / "t[1]", 4)
    write_encoded_parquet(rows(3), tmp_path / "t[1]", 3, 2)
    write_encoded_parquet(rows(3), tmp_path / "t", 3)
    with pytest.raises(DataError, match="no dialogues to write"):
        write_encoded_parquet([], tmp_path / "empty", 0)


def test_many_processes_share_one_copy(tmp_path: Path) -> None:
    file = write_encoded_parquet(rows(40), tmp_path / "t", 40)[0]
    expected = list(rows(40))
    with ProcessPoolExecutor(3, get_context("fork")) as pool:
        assert all(pool.map(same, expected, [file] * 40, range(40)))
    assert len(list((tmp_path / "cache" / "encoded").glob("*.arrow"))) == 1
    assert list((tmp_path / "cache" / "encoded").glob("*.tmp")) == []


def test_the_copy_is_read_at_random_fast(tmp_path: Path) -> None:
    """One compressed group of all rows: reading a row must not cost the group."""
    tokens = np.random.default_rng(0).integers(0, 2048, (9, 500)).tolist()
    table = pa.Table.from_pylist([{"dialogue_id": f"d{n}", "A": tokens, "B": tokens} for n in range(400)])
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=10**6)
    open_rows(tmp_path / "t.parquet")
    start = time.perf_counter()
    for n in range(0, 400, 4):
        read_encoded(encoded(tmp_path / "t.parquet", n, 500))
    hundred = time.perf_counter() - start
    start = time.perf_counter()
    pq.ParquetFile(tmp_path / "t.parquet").read_row_group(0)
    assert hundred < 100 * (time.perf_counter() - start) / 5


def test_a_file_that_has_changed_is_noticed(tmp_path: Path) -> None:
    file = write_encoded_parquet(rows(3), tmp_path / "t", 3)[0]
    first = list(rows(3))
    assert same(first[0], file, 0)
    write_encoded_parquet(((key, b, a) for key, a, b in rows(3)), tmp_path / "t", 3)
    os.utime(file, ns=(1, 1))
    assert same((first[0][0], first[0][2], first[0][1]), file, 0)
    with pytest.raises(DataError, match=rf"^{file}:1: A: \d+ frames, 99 are expected; the file has changed"):
        read_encoded(encoded(file, 0, 99))
    with pytest.raises(DataError, match=rf"^{file}: no row 9, the file has 3; read it again"):
        read_encoded(encoded(file, 8, 5))
    file.unlink()
    with pytest.raises(DataError, match=rf"^{file}: no such file; correct the path"):
        read_encoded(encoded(file, 0, 5))


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ([[1, None], [2, 3]], "A: a token is missing (null); make the file again"),
        ([[1, 2], [2]], "A: not lists of one length"),
        (None, "A: not lists of one length"),
        ([[-1, 2], [2, 0]], "A: text, frame 0: tokens count from 0, found -1"),
        ([[1, 2], [2, -9]], "A: codebook 1, frame 1: tokens count from 0, found -9"),
        ([[1, 2], [2, 3], [4, 5]], "A has the shape [3, 2] and B [2, 2]; make it again"),
    ],
)
def test_tokens_that_cannot_be(tmp_path: Path, lists: Any, message: str) -> None:
    schema = pa.schema([("dialogue_id", pa.string()), *((name, pa.list_(pa.list_(pa.int64()))) for name in "AB")])
    row = {"dialogue_id": "d", "A": lists, "B": [[1, 2], [3, 4]]}
    pq.write_table(pa.Table.from_pylist([row], schema), tmp_path / "t.parquet")
    with pytest.raises(DataError) as error:
        read_encoded(encoded(tmp_path / "t.parquet", 0, 2))
    assert str(error.value).startswith(f"{tmp_path}/t.parquet:1: {message}")


def test_npz_pairs_are_written_as_the_tools_leave_them(tmp_path: Path) -> None:
    made, said = good_tokens()
    both = [np.concatenate([np.asarray(said[speaker])[None], np.asarray(made[speaker])]) for speaker in "AB"]
    folders = write_encoded_npz(tmp_path / "own", [("a.b", *both)])
    for own, theirs in zip(folders, token_folders(tmp_path / "theirs", {"a.b": (made, said)}), strict=True):
        with np.load(own / "a.b.npz", allow_pickle=False) as one, np.load(theirs / "a.b.npz") as two:
            assert one.files == two.files == ["A", "B"]
            for speaker in "AB":
                assert one[speaker].dtype == two[speaker].dtype == np.int64
                np.testing.assert_array_equal(one[speaker], two[speaker])
