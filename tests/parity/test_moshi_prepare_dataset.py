"""Token files of nu-dialogue's tools become the rows and the parquet files that its prepare_dataset makes of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.parity.conftest import cases
from voxtune.data.encoded import read_encoded, write_encoded_npz, write_encoded_parquet
from voxtune.data.manifest import read_samples, write_samples
from voxtune.data.sample import Sample

CASES = cases("moshi", "prepare_dataset")
every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOXTUNE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def load(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


def token_folders(inputs: Any) -> list[Path]:
    """The npz files as tokenize_audio and tokenize_text leave them."""
    folders = [Path("tokenized_audio"), Path("tokenized_text")]
    for folder, kind in zip(folders, ("audio", "text"), strict=True):
        folder.mkdir()
        for name, dialogue in inputs["dialogues"].items():
            arrays = {speaker: np.array(values) for speaker, values in dialogue[kind].items()}
            np.savez_compressed(folder / f"{name}.npz", **arrays)
    return folders


def rows(files: list[Path]) -> list[dict[str, Any]]:
    return [row for file in files for row in pq.read_table(file).to_pylist()]


def tokens(sample: Sample, padding: int) -> tuple[np.ndarray, np.ndarray]:
    assert sample.dialogue is not None
    assert sample.dialogue.encoded is not None
    a, b = read_encoded(sample.dialogue.encoded, padding)
    return a.numpy(), b.numpy()


@every_case
def test_npz_pairs_become_the_parquet_files(case: Path) -> None:
    inputs, outputs = load(case / "inputs.json"), load(case / "outputs.json")
    samples = read_samples(token_folders(inputs))
    prefix, per_file = Path(inputs["output_prefix"]), inputs["num_examples_per_parquet"]
    encoded = ((f"{prefix}/{s.key}", *tokens(s, inputs["text_padding_id"])) for s in samples)
    files = write_encoded_parquet(encoded, prefix, len(samples), per_file)
    assert [file.name for file in files] == list(outputs["files"])
    for file in files:
        assert [[field.name, str(field.type)] for field in pq.read_schema(file)] == outputs["schema"]
        assert rows([file]) == outputs["files"][file.name]
        table, recorded = pq.read_table(file), pq.read_table(case / file.name)
        assert table.schema.equals(recorded.schema)
        assert table.equals(recorded)


@every_case
def test_the_layouts_do_the_same(case: Path) -> None:
    inputs, outputs = load(case / "inputs.json"), load(case / "outputs.json")
    if inputs["text_padding_id"] != 3:
        pytest.skip("the layouts fill text with Moshi's own padding")
    files = write_samples(read_samples(token_folders(inputs)), Path(inputs["output_prefix"]), "moshi_parquet")
    assert rows(files) == [row for file in outputs["files"].values() for row in file]


@every_case
def test_recorded_parquet_files_are_read(case: Path) -> None:
    outputs = load(case / "outputs.json")
    samples = read_samples(case / "*.parquet")
    expected = [row for file in outputs["files"].values() for row in file]
    assert [sample.key for sample in samples] == [row["dialogue_id"] for row in expected]
    for sample, row in zip(samples, expected, strict=True):
        a, b = tokens(sample, load(case / "inputs.json")["text_padding_id"])
        assert a.tolist() == row["A"]
        assert b.tolist() == row["B"]


@every_case
def test_rows_become_npz_pairs_and_rows_again(case: Path) -> None:
    padding = load(case / "inputs.json")["text_padding_id"]
    before = [(Path(s.key).name, *tokens(s, padding)) for s in read_samples(case / "*.parquet")]
    after = [(s.key, *tokens(s, padding)) for s in read_samples(write_encoded_npz(Path("npz"), before))]
    assert [name for name, _, _ in after] == sorted(name for name, _, _ in before)
    for (_, a, b), (_, c, d) in zip(sorted(before, key=lambda row: row[0]), after, strict=True):
        np.testing.assert_array_equal(a, c)
        np.testing.assert_array_equal(b, d)


def test_the_schema_is_whole() -> None:
    """Without cases, what the sheet says of a row."""
    files = write_encoded_parquet([("x/d", [[3, 5], [0, 7]], [[3, 3], [1, 2]])], Path("train"), 1)
    assert [file.name for file in files] == ["train-001-of-001.parquet"]
    assert pq.read_schema(files[0]).types[0] == pa.large_string()
    assert rows(files) == [{"dialogue_id": "x/d", "A": [[3, 5], [0, 7]], "B": [[3, 3], [1, 2]]}]
