"""Rows of parquet files at random: a copy in the user's cache that is mapped into memory.

A parquet file is compressed in groups of up to all of its rows, so that one row costs as much as the whole group.
"""

from __future__ import annotations

import hashlib
import json
import logging
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from filelock import FileLock
from numpy.typing import NDArray

from voxtune.data.remote import audio_cache
from voxtune.errors import DataError
from voxtune.files import atomic_write

logger = logging.getLogger(__name__)

STREAMS = pa.list_(pa.list_(pa.int32()))
SCHEMA = pa.schema([("dialogue_id", pa.large_string()), ("A", STREAMS), ("B", STREAMS)])
ROWS_AT_ONCE = 256
COLUMNS_NEEDED = "the columns dialogue_id (text), A and B (lists of lists of integers) are needed"


def open_rows(path: Path) -> pa.Table:
    """The columns dialogue_id, A and B of a parquet file, mapped into memory.

    The first time a file (by path, size and time of change) is copied into the cache's folder `encoded`. Raises
    DataError when it cannot be read, has other columns, or tokens that no 32 bits hold.
    """
    try:
        return _mapped(_copied(path))
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; correct the path") from error
    except (OSError, ValueError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path}: damaged, or no parquet file ({reason}); make it again") from error


def unused_columns(path: Path) -> list[str]:
    """Columns that nobody reads, of a file that `open_rows` can open."""
    return [name for name in pq.read_schema(path).names if name not in SCHEMA.names]


def row_lengths(table: pa.Table, speaker: str) -> list[list[int]]:
    """Of each row the lengths of a speaker's lists, -1 for one that is null."""
    found: list[list[int]] = []
    for chunk in table[speaker].chunks:
        lengths = pc.fill_null(pc.list_value_length(chunk.flatten()), -1).to_pylist()
        ends = np.cumsum(pc.fill_null(pc.list_value_length(chunk), 0).to_numpy()).tolist()
        found += [lengths[start:end] for start, end in pairwise([0, *ends])]
    return found


def row_tokens(path: Path, row: int, speaker: str) -> NDArray[np.int64]:
    """A speaker's tokens [streams, frames] in a row, counted from 0.

    Raises DataError when there is no such row, when its lists differ in length, or when a token is missing.
    """
    table = open_rows(path)
    if row >= len(table):
        raise DataError(f"{path}: no row {row + 1}, the file has {len(table)}; read it again with voxtune prepare")
    streams = table[speaker][row].values
    lengths = set() if streams is None else set(pc.list_value_length(streams).to_pylist())
    if len(lengths) != 1 or None in lengths:
        raise DataError(f"{path}:{row + 1}: {speaker}: not lists of one length; read it again with voxtune prepare")
    tokens = streams.flatten()
    if tokens.null_count:
        raise DataError(f"{path}:{row + 1}: {speaker}: a token is missing (null); make the file again")
    found: NDArray[np.int64] = tokens.to_numpy().astype(np.int64)
    return found.reshape(len(streams), -1)


def _copied(source: Path) -> Path:
    status = source.stat()
    identity = json.dumps([str(source.resolve()), status.st_size, status.st_mtime_ns])
    name = hashlib.sha256(identity.encode()).hexdigest()[:32]
    copy = audio_cache().with_name("encoded") / f"{name}.arrow"
    if not copy.exists():
        copy.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(copy.with_name(".lock")):
            if not copy.exists():
                logger.info("%s is copied to %s", source, copy)
                _copy(source, copy)
    return copy


def _copy(source: Path, copy: Path) -> None:
    with pq.ParquetFile(source) as file:
        _refuse_columns(source, file.schema_arrow)
        with atomic_write(copy) as temporary, pa.ipc.new_file(str(temporary), SCHEMA) as target:
            for number, batch in enumerate(file.iter_batches(ROWS_AT_ONCE, columns=SCHEMA.names)):
                try:
                    narrow = pa.Table.from_batches([batch]).select(SCHEMA.names).cast(SCHEMA)
                    narrow.validate(full=True)
                except pa.ArrowInvalid as error:
                    rows = f"{number * ROWS_AT_ONCE + 1} to {number * ROWS_AT_ONCE + len(batch)}"
                    raise DataError(f"{source}: one of the rows {rows}: {error}; correct it") from error
                target.write_table(narrow)


def _refuse_columns(source: Path, schema: pa.Schema) -> None:
    for name in SCHEMA.names:
        if name not in schema.names:
            raise DataError(f"{source}: {name}: no such column; {COLUMNS_NEEDED}")
        kind = schema.field(name).type
        fits = _is_text(kind) if name == "dialogue_id" else _is_lists_of_integers(kind)
        if not fits:
            raise DataError(f"{source}: {name}: a column of type {kind}; {COLUMNS_NEEDED}")


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_lists_of_integers(kind: pa.DataType) -> bool:
    for _ in range(2):
        if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
            return False
        kind = kind.value_type
    return bool(pa.types.is_integer(kind))


@cache
def _mapped(copy: Path) -> pa.Table:
    return pa.ipc.open_file(pa.memory_map(str(copy))).read_all()
