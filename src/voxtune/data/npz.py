"""Integer arrays in npz files that somebody else made: nothing in them is ever unpickled."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tokenize import TokenError
from typing import IO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from voxtune.errors import DataError

HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def npz_shape(path: Path, name: str) -> tuple[int, ...]:
    """The shape of an array in an npz file, from its header alone.

    Raises DataError when the file cannot be read, has no such array, or the array is not one of integers.
    """
    with _array(path, name) as (_, shape, _, _):
        return shape


def npz_array(path: Path, name: str) -> NDArray[np.int64]:
    """An array of integers in an npz file. Raises what `npz_shape` raises."""
    with _array(path, name) as (member, shape, fortran, dtype):
        values = np.frombuffer(member.read(), dtype).reshape(shape, order="F" if fortran else "C")
        return values.astype(np.int64)


@contextmanager
def _array(path: Path, name: str) -> Iterator[tuple[IO[bytes], tuple[int, ...], bool, np.dtype]]:
    """The bytes of an array's values, its shape, whether its columns come first, and the type of its values."""
    try:
        with zipfile.ZipFile(path) as file:
            if f"{name}.npy" not in file.namelist():
                names = ", ".join(member.removesuffix(".npy") for member in file.namelist()[:5]) or "nothing"
                raise DataError(f"{path}: {name}: no such array, the file holds {names}; it must hold A and B")
            with file.open(f"{name}.npy") as member:
                version = npy.read_magic(member)
                if version not in HEADERS:
                    raise ValueError(f"version {version} of the array format")
                shape, fortran, dtype = HEADERS[version](member)
                size = math.prod([int(length) for length in shape])
                if dtype.hasobject:
                    raise DataError(f"{path}: {name}: pickled objects, which are never read; save it as integers")
                if dtype.kind not in "iu" and size:
                    raise DataError(f"{path}: {name}: numbers of type {dtype}; save it as integers (int64)")
                present = file.getinfo(f"{name}.npy").file_size - member.tell()
                if present != size * dtype.itemsize:
                    raise ValueError(f"{present} bytes for an array of shape {list(shape)}")
                yield member, shape, fortran, dtype
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; correct the path") from error
    except (
        OSError, ValueError, EOFError, RuntimeError, TokenError, zlib.error, zipfile.BadZipFile,
    ) as error:  # fmt: skip
        raise DataError(f"{path}: {name}: damaged, or no npz file ({error}); make it again") from error
