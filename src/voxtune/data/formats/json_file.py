"""Whole JSON files beside recordings, such as lists of words: what is wrong with an entry goes to the problems."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from voxtune.data.formats.lines import Problems, read_text, reason
from voxtune.errors import DataError

Content = TypeVar("Content")


def read_json_file(
    file: Path, adapter: TypeAdapter[Content], problems: Problems, field: Callable[[Sequence[int | str]], str]
) -> Content | None:
    """The content of a JSON file; None when something is wrong with it. `field` names a place in it.

    All problems are those of line 1: a field tells the entry.
    """
    try:
        return adapter.validate_json(read_text(file))
    except DataError as error:
        problems.error(file, 1, "file", str(error).removeprefix(f"{file}: "))
    except ValidationError as error:
        for problem in error.errors(include_url=False):
            if problem["type"] == "json_invalid":
                problems.error(file, 1, "file", f"not JSON ({problem['ctx']['error']}); make it again")
            else:
                problems.error(file, 1, field(problem["loc"]) if problem["loc"] else "file", reason(problem))
    return None
