"""Data files in, samples out, and back: the layout is recognised, or named."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from glob import glob, has_magic
from itertools import groupby
from pathlib import Path

from voxtune.data.formats import formats
from voxtune.data.formats.format import Format, TokenCounter
from voxtune.data.formats.lines import Problems, first_line, shown
from voxtune.data.sample import Sample
from voxtune.errors import DataError


def read_samples(source: Path | Sequence[Path], format: str | None = None) -> list[Sample]:
    """The samples of data files in their order; `format` names their layout, None = recognised by itself.

    Several files of one source may be several lists, or a wav.scp with its text, or two folders that belong together. A
    pattern such as `train-*.parquet` stands for the files that it finds, sorted. Raises DataError with the first
    20 problems by file, line and field, and their number.
    """
    problems = Problems()
    samples = collect_samples(source, format, problems)
    problems.raise_errors()
    return samples


def collect_samples(source: Path | Sequence[Path], format: str | None, problems: Problems) -> list[Sample]:
    """As `read_samples`, but what is wrong with single lines goes to `problems` and the other lines are read.

    Raises DataError when a whole file cannot be read.
    """
    files = found_files([source] if isinstance(source, Path) else source)
    samples: list[Sample] = []
    with _no_garbage_collection():
        for name, group in groupby(files, lambda file: format or recognised(file)):
            samples += layout_named(name).read(list(group), problems)
    return samples


def found_files(sources: Sequence[Path]) -> list[Path]:
    """The files and folders that sources name, patterns replaced by what they find. Raises DataError for nothing."""
    found: list[Path] = []
    for source in sources:
        if _exists(source) or not has_magic(str(source)):
            found.append(source)
            continue
        matching = sorted(map(Path, glob(str(source))))  # noqa: PTH207 (Path.glob wants patterns under a folder)
        if not matching:
            raise DataError(f"{source}: no file has such a name; correct the pattern")
        found += matching
    return found


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Millions of new objects, none of them garbage: looking through them again and again takes most of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def write_samples(
    samples: Sequence[Sample], path: Path, format: str | None = None, count_tokens: TokenCounter | None = None
) -> list[Path]:
    """Write samples in a layout; None = by the ending of `path`. Returns the files that were written."""
    if format is None:
        found = [layout.name for layout in formats().values() if path.suffix.lower() in layout.suffixes]
        if not found:
            raise DataError(f"{path}: no layout has this ending; name one of {', '.join(formats())} (--to)")
        format = found[0]
    return layout_named(format).write(samples, path, count_tokens)


def layout_named(name: str) -> Format:
    """A layout by name. Raises DataError with the names there are."""
    if name not in formats():
        raise DataError(f"{name!r} is no data layout; there are {', '.join(formats())}")
    return formats()[name]


def recognised(file: Path) -> str:
    """The name of a file's layout, by the name of the file and its first line, or a folder's, by the names in it.

    Raises DataError when it has none.
    """
    head = ""
    there = _exists(file)
    found = [layout.name for layout in formats().values() if there and layout.recognises_path(file)]
    if not found and not (there and file.is_dir()):
        head = first_line(file)
        found = [layout.name for layout in formats().values() if layout.recognises(file, head)]
    if len(found) == 1:
        return found[0]
    if found:
        raise DataError(f"{file}: could be {' or '.join(found)}; name one (--from, or data.train.format in a recipe)")
    if head.startswith("[") and head[1:].lstrip()[:1] in ("", "{"):
        raise DataError(f"{file}:1: a JSON array; write one object a line, for example with `jq -c '.[]'`")
    layouts = "\n".join(f"  {layout.name}: {layout.summary}" for layout in formats().values())
    seen = "a folder without files of one" if file.is_dir() else f"the first line is {shown(head)}"
    raise DataError(f"{file}: in no known layout, {seen}; the layouts are\n{layouts}")


def _exists(path: Path) -> bool:
    return os.path.exists(path)  # noqa: PTH110 (Path raises on long names)
