"""Text files with one utterance per line: its key, a tab or blanks, its text (Kaldi's `text`)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from voxtune.errors import DataError


@dataclass(frozen=True)
class KeyedText:
    """The texts of a file by key, in the order of the file, and the line of each key."""

    path: Path
    texts: dict[str, str]
    lines: dict[str, int]

    def where(self, key: str) -> str:
        """File and line of a key."""
        return f"{self.path}:{self.lines[key]}"


def read_keyed_text(path: Path) -> KeyedText:
    """Read a file of keys and texts. A key alone has an empty text; empty lines are skipped.

    Raises DataError when the file cannot be read as UTF-8, holds no key, or holds one twice.
    """
    try:
        content = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}): check the path and its permissions") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}:{line}: not UTF-8 text ({error.reason}): convert the file to UTF-8") from error
    texts: dict[str, str] = {}
    lines: dict[str, int] = {}
    for number, line_text in enumerate(content.split("\n"), start=1):
        fields = line_text.strip().split(maxsplit=1)
        if not fields:
            continue
        key = fields[0]
        if key in texts:
            raise DataError(f"{path}:{number}: key {key!r} is on line {lines[key]} already: keep one of the two lines")
        texts[key] = fields[1] if len(fields) == 2 else ""
        lines[key] = number
    if not texts:
        raise DataError(f"{path}: no utterance in it: each line needs a key and a text, like `utt1 hello world`")
    return KeyedText(path, texts, lines)
