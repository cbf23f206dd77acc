"""Codes and frame-aligned text in the files that upstream trains from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from torch import Tensor

from voxtune.data.encoded import write_encoded_npz, write_encoded_parquet
from voxtune.data.sample import Sample
from voxtune.errors import DataError
from voxtune.files import atomic_folder
from voxtune.training.loading import Packs

TokenFiles = Literal["parquet", "npz"]


def write_token_files(splits: dict[str, Packs], folder: Path, form: TokenFiles) -> int:
    """Write the dialogues of each split into a new folder, whole or not at all; returns their number.

    parquet: `<split>-001-of-001.parquet`; npz: `<split>/tokenized_audio/KEY.npz` and `<split>/tokenized_text/KEY.npz`.
    Raises DataError when the folder exists, or when two dialogues of a split have one key.
    """
    if folder.exists():
        raise DataError(f"{folder} exists already; choose another folder")
    dialogues = {split: _dialogues(split, dataset) for split, dataset in splits.items()}
    with atomic_folder(folder) as temporary:
        for split, samples in dialogues.items():
            rows = _rows(splits[split], samples)
            if form == "parquet":
                write_encoded_parquet(rows, temporary / split, len(samples))
            else:
                write_encoded_npz(temporary / split, rows)
    return sum(map(len, dialogues.values()))


def _dialogues(split: str, dataset: Packs) -> list[Sample]:
    """Each dialogue once, sorted by key, whatever views training makes of it."""
    found: dict[str, Sample] = {}
    for view in dataset.corpus.samples:
        other = found.setdefault(view.key, view)
        if other.origin != view.origin:
            raise DataError(f"{view.origin}: {view.key!r} is the key of {other.origin} too ({split}); rename one")
    return [found[key] for key in sorted(found)]


def _rows(dataset: Packs, samples: list[Sample]) -> Iterator[tuple[str, Tensor, Tensor]]:
    for sample in samples:
        yield sample.key, *dataset.layout.token_rows(sample, dataset.heard(sample))
