"""What the line-based layouts share: reading lines, locating recordings, and saying what is wrong with a line."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from voxtune.data.remote import is_url
from voxtune.data.sample import Sample
from voxtune.errors import DataError
from voxtune.files import atomic_write

SHOWN_PROBLEMS = 20
SHOWN_CHARACTERS = 80


@dataclass(frozen=True)
class LineProblem:
    """What is wrong with a field of a line."""

    file: Path
    line: int
    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.field}: {self.message}"


@dataclass
class Problems:
    """Collects what is wrong while files are read, and the keys that nobody reads (with their first line)."""

    errors: list[LineProblem] = field(default_factory=list)
    unused: dict[tuple[Path, str], int] = field(default_factory=dict)

    def error(self, file: Path, line: int, name: str, message: str) -> None:
        """Note an error of a line."""
        self.errors.append(LineProblem(file, line, name, message))

    def invalid(self, file: Path, line: int, error: ValidationError, known: Sequence[str] = ()) -> None:
        """Note each problem that pydantic found in a line."""
        for problem in error.errors(include_url=False):
            self.error(file, line, ".".join(map(str, problem["loc"])) or "line", reason(problem, known))

    def extra(
        self, file: Path, line: int, keys: Iterable[str], known: Sequence[str], misleading: Sequence[str] = ()
    ) -> None:
        """Note keys that the layout does not know: an error when one is misleading or looks like a slip of the pen."""
        for key in keys:
            if (file, key) in self.unused:
                continue
            if key in misleading:
                self.error(file, line, key, f"is not read here; remove it (known: {', '.join(known)})")
            elif difflib.get_close_matches(key, known, 1, 0.7):
                self.error(file, line, key, f"unknown key; {advice(key, known)}")
            else:
                self.unused[file, key] = line

    def raise_errors(self) -> None:
        """Raise DataError with the first errors and their number, when there are any."""
        if self.errors:
            raise_all([str(error) for error in self.errors])


def reason(problem: ErrorDetails, known: Sequence[str] = ()) -> str:
    """What pydantic found, in words that say what to do."""
    match problem["type"]:
        case "json_invalid":
            why = str(problem["ctx"]["error"]).replace("at line 1 column", "at column")
            return f"not JSON ({why}), found {shown(problem['input'])}; write one JSON object a line"
        case "missing":
            return "is missing; add it"
        case "extra_forbidden":
            return f"unknown key; {advice(str(problem['loc'][-1]), known)}"
        case _:
            return f"{problem['msg']}, found {shown(problem['input'])}; correct it"


def raise_all(messages: Sequence[str]) -> None:
    """Raise DataError with the first messages and the number of the others."""
    rest = len(messages) - SHOWN_PROBLEMS
    lines = [*messages[:SHOWN_PROBLEMS], *([f"... and {rest} more problems like these"] if rest > 0 else [])]
    raise DataError("\n".join(lines))


def advice(key: str, known: Sequence[str]) -> str:
    """What to do about an unknown key."""
    nearest = difflib.get_close_matches(key, known, 1, 0.6)
    return f"did you mean {nearest[0]!r}? rename or remove it" if nearest else f"remove it (known: {', '.join(known)})"


def shown(value: object) -> str:
    """A value in a message, shortened."""
    text = repr(value)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[: SHOWN_CHARACTERS - 4]} ..."


def read_text(file: Path) -> str:
    """The whole text of a UTF-8 file. Raises DataError naming the file, and the line of a byte that is no UTF-8."""
    try:
        raw = file.read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"{file}: no such file; correct the path") from error
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror}); give the path of a data file") from error
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise DataError(f"{file}: UTF-16 text; save it as UTF-8")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{file}:{line}: not UTF-8 text (byte 0x{raw[error.start]:02x}); save the file as UTF-8, or give a data "
            "file (JSON lines, wav.scp, CSV)"
        ) from error


def first_line(file: Path) -> str:
    """The first line with content. Raises what `numbered_lines` raises."""
    try:
        with file.open("rb") as lines:
            head = next((line for line in lines if line.strip()), b"")
        text = head.decode("utf-8-sig").strip()
    except (OSError, UnicodeDecodeError):
        text = ""
    return text or next(numbered_lines(file))[1]


def numbered_lines(file: Path) -> Iterator[tuple[int, str]]:
    """Lines with content and their numbers from 1. Raises what `read_text` raises, and DataError without any line."""
    found = False
    for number, line in enumerate(read_text(file).split("\n"), 1):
        if stripped := line.strip():
            found = True
            yield number, stripped
    if not found:
        raise DataError(f"{file}: an empty file; it must have one sample a line")


def locator(file: Path, *, from_current_folder: bool) -> Callable[[str], str]:
    """Makes the paths of a manifest absolute: they are relative to its folder.

    With `from_current_folder`, a path that does not exist there is taken from the current folder if it exists here.
    """
    folder, current = str(file.parent.absolute()), str(Path.cwd())
    elsewhere = from_current_folder and folder != current

    def locate(path: str) -> str:
        if path.startswith("/") or is_url(path):
            return path
        near = f"{folder}/{path}"
        if elsewhere and not os.path.exists(near) and os.path.exists(path):  # noqa: PTH110 (Path raises on long names)
            return f"{current}/{path}"
        return near

    return locate


def written_path(path: str, manifest: Path) -> str:
    """A recording's path as a manifest writes it: relative when it lies under the manifest's folder."""
    folder = f"{manifest.parent.absolute()}/"
    return path if is_url(path) else path.removeprefix(folder)


def expressed(samples: Iterable[Sample], express: Callable[[Sample], str]) -> list[str]:
    """One line a sample. Raises DataError with what could not be expressed."""
    lines, failed = [], []
    for sample in samples:
        try:
            lines.append(express(sample))
        except DataError as error:
            failed.append(f"{sample.origin}: {error}")
    if failed:
        raise_all(failed)
    return lines


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write lines, whole or not at all."""
    with atomic_write(path.absolute()) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{line}\n" for line in lines)
