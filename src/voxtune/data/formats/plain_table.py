"""Plain tables: CSV or TSV with the columns audio and text and a few optional ones."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from voxtune.data.formats.format import Format, TokenCounter
from voxtune.data.formats.lines import Problems, locator, raise_all, read_text, shown, written_path
from voxtune.data.formats.plain import MISLEADING, PLAIN_FIELDS, PlainFields, default_key, plain_values
from voxtune.data.sample import Sample
from voxtune.errors import DataError
from voxtune.files import atomic_write

Row = dict[str, Any]


class PlainTable(Format):
    """Reader and writer of CSV (quoted as in RFC 4180) and TSV (never quoted)."""

    name = "plain_table"
    summary = "CSV or TSV with the columns audio, text and optionally key, language, hotwords, start, duration, channel"
    suffixes = (".csv", ".tsv")

    def recognises(self, file: Path, head: str) -> bool:
        return file.suffix.lower() in self.suffixes

    def read(self, files: Sequence[Path], problems: Problems) -> list[Sample]:
        samples = []
        for file in files:
            locate = locator(file, from_current_folder=False)
            for number, row in _rows(file, problems):
                try:
                    fields = PlainFields.model_validate(row)
                    sample = fields.sample(default_key(file, number), locate(fields.audio))
                except ValidationError as error:
                    problems.invalid(file, number, error, PLAIN_FIELDS)
                    continue
                samples.append(sample.at(file, number))
        return samples

    def write(self, samples: Sequence[Sample], path: Path, count_tokens: TokenCounter | None) -> list[Path]:
        rows = []
        failed = []
        for sample in samples:
            try:
                rows.append(_cells(sample, path))
            except DataError as error:
                failed.append(f"{sample.origin}: {error}")
        if failed:
            raise_all(failed)
        columns = [name for name in PLAIN_FIELDS if any(name in row for row in rows)]
        with atomic_write(path.absolute()) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
            if _is_tsv(path):
                file.writelines(
                    "\t".join(line) + "\n" for line in [columns, *([r.get(c, "") for c in columns] for r in rows)]
                )
            else:
                table = csv.DictWriter(file, columns, restval="", lineterminator="\n")
                table.writeheader()
                table.writerows(rows)
        return [path]


def _is_tsv(file: Path) -> bool:
    return file.suffix.lower() == ".tsv"


def _rows(file: Path, problems: Problems) -> Iterator[tuple[int, Row]]:
    """Rows by column name with their line numbers; empty cells but the text's are left out."""
    lines = _cells_of_lines(file)
    first, header = next(lines, (1, []))
    columns = [name.strip() for name in header]
    if "audio" not in columns or len(set(columns)) < len(columns):
        raise DataError(
            f"{file}:{first}: header: columns named audio and text (once each) are needed, found {shown(columns)}; "
            "write them in the first line"
        )
    problems.extra(file, first, [name for name in columns if name not in PLAIN_FIELDS], PLAIN_FIELDS, MISLEADING)
    for number, cells in lines:
        if len(cells) != len(columns):
            problems.error(
                file, number, "line", f"{len(cells)} cells under {len(columns)} columns, found {shown(cells)}; quote "
                "texts that contain the separator"
            )  # fmt: skip
            continue
        named = dict(zip(columns, cells, strict=True))
        quoted = [name for name, cell in named.items() if _is_tsv(file) and _looks_quoted(cell)]
        if quoted:
            found = shown(named[quoted[0]])
            problems.error(
                file, number, quoted[0], f"TSV is not quoted, found {found}; write it as it is, or write CSV"
            )
            continue
        yield number, {name: cell for name, cell in named.items() if name in PLAIN_FIELDS and (cell or name == "text")}


def _looks_quoted(cell: str) -> bool:
    """A CSV writer has quoted the cell and doubled the quotes in it."""
    return len(cell) > 1 and cell[0] == cell[-1] == '"' and '""' in cell[1:-1]


def _cells_of_lines(file: Path) -> Iterator[tuple[int, list[str]]]:
    text = read_text(file)
    if _is_tsv(file):
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip():
                yield number, line.rstrip("\r").split("\t")
        return
    reader = csv.reader(text.splitlines(keepends=True), strict=True)
    start = 1
    try:
        for cells in reader:
            if cells:
                yield start, cells
            start = reader.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"{file}:{start}: line: not CSV ({error}); close every quote, and double quotes inside"
        ) from error


def _cells(sample: Sample, manifest: Path) -> dict[str, str]:
    values = plain_values(sample)
    values["audio"] = written_path(values["audio"], manifest)
    if "hotwords" in values:
        values["hotwords"] = ", ".join(values["hotwords"])
    cells = {name: str(value) for name, value in values.items()}
    if _is_tsv(manifest) and any(character in cell for cell in cells.values() for character in "\t\n\r"):
        raise DataError("a tab or a line break cannot be written in TSV; write CSV")
    return cells


FORMAT = PlainTable()
