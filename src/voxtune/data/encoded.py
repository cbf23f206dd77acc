"""Dialogues as frames of tokens in files: nu-dialogue's npz pairs and parquet rows, read and written.

Of each speaker the text tokens and, below them, the codes of every codebook: int64 [1 + codebooks, frames].
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from glob import escape
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from voxtune.data.npz import npz_array
from voxtune.data.parquet_rows import row_tokens
from voxtune.data.sample import SPEAKERS, Encoded
from voxtune.errors import DataError
from voxtune.files import atomic_write

FRAMES_PER_SECOND = 12.5
TEXT_PADDING = 3
ROWS_PER_GROUP = 256
STREAMS = pa.list_(pa.field("element", pa.list_(pa.field("element", pa.int64()))))
SCHEMA = pa.schema([("dialogue_id", pa.large_string()), ("A", STREAMS), ("B", STREAMS)])
"""As nu-dialogue's prepare_dataset writes it."""
AUDIO_FOLDER, TEXT_FOLDER = "tokenized_audio", "tokenized_text"

Tokens = NDArray[np.int64]


def read_encoded(encoded: Encoded, text_padding: int = TEXT_PADDING) -> tuple[Tensor, Tensor]:
    """The tokens of A and of B, each int64 [1 + codebooks, frames].

    Text in a file of its own is cut or filled with `text_padding` to the frames of the codes, as nu-dialogue's
    prepare_dataset does. Raises DataError naming file, row and speaker when something is missing, negative, or of
    another length than `encoded` says.
    """
    a, b = (_speaker(encoded, speaker, text_padding) for speaker in SPEAKERS)
    if a.shape != b.shape:
        raise DataError(f"{place(encoded)}: A has the shape {list(a.shape)} and B {list(b.shape)}; make it again")
    return torch.from_numpy(a), torch.from_numpy(b)


def text_beyond_codes(encoded: Encoded, text_padding: int = TEXT_PADDING) -> tuple[int, int]:
    """How many text tokens of A and of B, other than padding, come after the last frame of the codes and are cut."""
    if encoded.text is None:
        return 0, 0
    a, b = (npz_array(Path(encoded.text), speaker)[encoded.frames :] for speaker in SPEAKERS)
    return int((a != text_padding).sum()), int((b != text_padding).sum())


def place(encoded: Encoded) -> str:
    """The file, and the row of a parquet file counted from 1, for messages."""
    return encoded.path if encoded.text is not None else f"{encoded.path}:{encoded.row + 1}"


def write_encoded_parquet(
    rows: Iterable[tuple[str, ArrayLike, ArrayLike]], prefix: Path, count: int, rows_per_file: int = 100_000
) -> list[Path]:
    """Write rows (dialogue_id, A, B), `count` of them, to files `prefix`-001-of-003.parquet and so on.

    Columns and names are those of nu-dialogue's prepare_dataset. A and B are [1 + codebooks, frames]. Rows are taken as
    they come, a few hundred at a time; each file is written whole or not at all. Returns the files. Raises DataError
    when there are no rows, or files of another number under the same prefix: a pattern would find both.
    """
    if not count:
        raise DataError(f"{prefix}: no dialogues to write")
    number = -(-count // rows_per_file)
    files = [prefix.with_name(f"{prefix.name}-{i:03d}-of-{number:03d}.parquet") for i in range(1, number + 1)]
    left = [file for file in prefix.parent.glob(f"{escape(prefix.name)}-*-of-*.parquet") if file not in files]
    if left:
        raise DataError(f"{left[0]}: is there from before and does not belong to the new files; remove it")
    source = iter(rows)
    for first, file in zip(range(0, count, rows_per_file), files, strict=True):
        missing = min(rows_per_file, count - first)
        with atomic_write(file.absolute()) as temporary, pq.ParquetWriter(temporary, SCHEMA) as writer:
            while missing:
                group = list(islice(source, min(missing, ROWS_PER_GROUP)))
                if not group:
                    raise ValueError(f"fewer than the {count} rows that were announced")
                writer.write_table(_table(group))
                missing -= len(group)
    if next(source, None) is not None:
        raise ValueError(f"more than the {count} rows that were announced")
    return files


def write_encoded_npz(folder: Path, rows: Iterable[tuple[str, ArrayLike, ArrayLike]]) -> list[Path]:
    """Write rows (name, A, B) as `folder`/tokenized_audio/NAME.npz and `folder`/tokenized_text/NAME.npz.

    A and B are [1 + codebooks, frames]. Each file is written whole or not at all. Returns the two folders.
    """
    for name, a, b in rows:
        both = [np.asarray(tokens, dtype=np.int64) for tokens in (a, b)]
        _write_npz(folder / TEXT_FOLDER / f"{name}.npz", [tokens[0] for tokens in both])
        _write_npz(folder / AUDIO_FOLDER / f"{name}.npz", [tokens[1:] for tokens in both])
    return [folder / AUDIO_FOLDER, folder / TEXT_FOLDER]


def _speaker(encoded: Encoded, speaker: str, text_padding: int) -> Tokens:
    if encoded.text is None:
        tokens = row_tokens(Path(encoded.path), encoded.row, speaker)
    else:
        codes, text = npz_array(Path(encoded.path), speaker), npz_array(Path(encoded.text), speaker)
        if codes.ndim != 2 or text.ndim != 1:
            raise DataError(
                f"{encoded.path}: {speaker}: codes of shape {list(codes.shape)} with text of shape {list(text.shape)}; "
                "codes are [codebooks, frames] and text is [frames]"
            )
        row = np.full((1, codes.shape[1]), text_padding, dtype=np.int64)
        row[0, : len(text)] = text[: codes.shape[1]]
        tokens = np.concatenate([row, codes])
    if tokens.shape[1] != encoded.frames:
        raise DataError(
            f"{place(encoded)}: {speaker}: {tokens.shape[1]} frames, {encoded.frames} are expected; the file has "
            "changed, read it again with voxtune prepare"
        )
    if tokens.min() < 0:
        stream, frame = (int(index) for index in np.argwhere(tokens < 0)[0])
        row_name = "text" if stream == 0 else f"codebook {stream}"
        raise DataError(
            f"{place(encoded)}: {speaker}: {row_name}, frame {frame}: tokens count from 0, found "
            f"{tokens[stream, frame]}; make it again"
        )
    return tokens


def _table(rows: Sequence[tuple[str, ArrayLike, ArrayLike]]) -> pa.Table:
    ids, a, b = zip(*rows, strict=True)
    columns = [pa.array(ids, pa.large_string()), _lists(a), _lists(b)]
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def _lists(dialogues: Sequence[ArrayLike]) -> pa.Array:
    arrays = [np.asarray(tokens, dtype=np.int64) for tokens in dialogues]
    streams = pa.ListArray.from_arrays(
        _offsets(len(stream) for tokens in arrays for stream in tokens),
        pa.array(np.concatenate([tokens.ravel() for tokens in arrays])),
        type=STREAMS.value_type,
    )
    return pa.ListArray.from_arrays(_offsets(len(tokens) for tokens in arrays), streams, type=STREAMS)


def _offsets(lengths: Iterator[int]) -> Any:
    return pa.array(np.cumsum(list(chain([0], lengths)), dtype=np.int32))


def _write_npz(path: Path, both: Sequence[Tokens]) -> None:
    with atomic_write(path.absolute()) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, A=both[0], B=both[1])
