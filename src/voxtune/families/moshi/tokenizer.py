"""Text to SentencePiece tokens and back."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from sentencepiece import SentencePieceProcessor

from voxtune.errors import CheckpointError

METASPACE = "\u2581"
"""What SentencePiece writes for a space."""


class Piece(NamedTuple):
    """A token, and the characters of the text that it was made of: `text[begin:end]`.

    The tokens of a character's bytes all begin at it, and the last one ends behind it. A piece that normalisation
    added, or that is not the last of a character's, is empty (begin = end).
    """

    id: int
    text: str
    begin: int
    end: int


class TextTokenizer:
    """A SentencePiece model: byte for byte the content of its file, so that it can be pickled and written again."""

    def __init__(self, model: bytes) -> None:
        """Raises CheckpointError when `model` is no SentencePiece model."""
        self._processor = SentencePieceProcessor()
        try:
            self._processor.LoadFromSerializedProto(model)
        except RuntimeError as error:
            raise CheckpointError("it is no SentencePiece model; give the file that belongs to the weights") from error
        self.model = model
        self.size: int = self._processor.get_piece_size()
        self.unknown_id: int = self._processor.unk_id()

    @classmethod
    def load(cls, path: Path) -> TextTokenizer:
        """Read a model's file. Raises CheckpointError naming the file when it cannot be used."""
        try:
            return cls(path.read_bytes())
        except OSError as error:
            raise CheckpointError(f"{path}: the text tokenizer cannot be read ({error.strerror})") from error
        except CheckpointError as error:
            raise CheckpointError(f"{path}: {error}") from error

    def __reduce__(self) -> tuple[Callable[[bytes], TextTokenizer], tuple[bytes]]:
        return TextTokenizer, (self.model,)

    @property
    def bos_id(self) -> int:
        """The token of a beginning. Raises CheckpointError where the model has none."""
        return self._existing("beginning (bos)", self._processor.bos_id())

    @property
    def eos_id(self) -> int:
        """The token of an end. Raises CheckpointError where the model has none."""
        return self._existing("end (eos)", self._processor.eos_id())

    @staticmethod
    def _existing(name: str, token: int) -> int:
        if token < 0:
            raise CheckpointError(f"the text tokenizer has no token for a {name}; do without tokens of speaker changes")
        return token

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of each text."""
        encoded: list[list[int]] = self._processor.encode(list(texts), out_type=int)
        return encoded

    def pieces(self, text: str) -> list[Piece]:
        """The tokens of a text and where they come from."""
        found = self._processor.encode(text, return_type="offset_mapping")
        rows = zip(found["ids"], found["pieces"], found["offsets"], strict=True)
        return [Piece(token, piece, begin, end) for token, piece, (begin, end) in rows]

    def piece(self, token: int) -> str:
        """How the vocabulary spells a token, spaces as U+2581."""
        return self._processor.id_to_piece(token)

    def is_text(self, token: int) -> bool:
        """Whether text can become this token: neither unknown, nor a control token, nor outside the vocabulary."""
        return 0 <= token < self.size and not (
            self._processor.is_unknown(token) or self._processor.is_control(token) or self._processor.is_unused(token)
        )

    def text(self, tokens: Iterable[int], *, skip: Collection[int] = ()) -> str:
        """What tokens say: bytes joined to characters, spaces as spaces. Tokens outside the vocabulary say nothing."""
        said = [token for token in tokens if 0 <= token < self.size and token not in skip]
        text: str = self._processor.decode(said)
        return text
