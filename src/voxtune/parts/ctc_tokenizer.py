"""The vocabulary of the CTC branch: a tiktoken rank file.

Source of the rules: funasr/models/sense_voice/whisper_lib/tokenizer.py.
"""

from __future__ import annotations

import base64
import binascii
from pathlib import Path

import tiktoken

from voxtune.errors import CheckpointError

PATTERN = r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""


class CtcTokenizer:
    """Text to CTC classes and back. Classes above the ranks are control tokens and decode to nothing."""

    def __init__(self, path: Path) -> None:
        """Read a rank file. Raises CheckpointError naming the line that is not `base64token rank`."""
        self.path = path
        self.ranks = _read_ranks(path)
        self._encoding = self._build()

    def _build(self) -> tiktoken.Encoding:
        return tiktoken.Encoding(self.path.name, pat_str=PATTERN, mergeable_ranks=self.ranks, special_tokens={})

    def __getstate__(self) -> dict[str, object]:
        return {"path": self.path, "ranks": self.ranks}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._encoding = self._build()

    def encode(self, text: str) -> list[int]:
        """Classes of a text."""
        return self._encoding.encode_ordinary(text)

    def decode(self, classes: list[int]) -> str:
        """Text of classes; bytes that are no UTF-8 become U+FFFD."""
        return self._encoding.decode([c for c in classes if c < len(self.ranks)])


def _read_ranks(path: Path) -> dict[bytes, int]:
    ranks = {}
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if not line:
            continue
        try:
            token, rank = line.split()
            ranks[base64.b64decode(token, validate=True)] = int(rank)
        except (ValueError, binascii.Error) as error:
            raise CheckpointError(f"{path}:{number}: expected `base64token rank`, found {line[:60]!r}") from error
    return ranks
