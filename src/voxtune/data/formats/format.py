"""The contract of a data layout: recognise files, read them, write them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path

from voxtune.data.formats.lines import Problems
from voxtune.data.sample import Sample

TokenCounter = Callable[[str], int]
"""How many tokens a text has for the model that the files are written for."""


class Format(ABC):
    """One layout of data files. A module of this folder offers an instance of it under the name FORMAT."""

    name: str
    summary: str
    suffixes: tuple[str, ...]
    """Names of output files end like this when the layout is chosen by them."""

    @abstractmethod
    def recognises(self, file: Path, head: str) -> bool:
        """Whether a file has this layout, by its name and its first line with content."""

    def recognises_path(self, path: Path) -> bool:
        """Whether a folder, or a file that is no text, has this layout, by names alone."""
        return False

    @abstractmethod
    def read(self, files: Sequence[Path], problems: Problems) -> list[Sample]:
        """The samples of the files (or folders) in their order; what is wrong with a line goes to `problems`."""

    @abstractmethod
    def write(self, samples: Sequence[Sample], path: Path, count_tokens: TokenCounter | None) -> list[Path]:
        """Write samples whole or not at all; returns the files.

        Raises DataError naming the samples that the layout cannot express.
        """
