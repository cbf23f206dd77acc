"""What a Moshi folder holds beside the language model: codec, tokenizer, and how text lies on frames."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from voxtune.families.moshi.text import TextIds
from voxtune.families.moshi.tokenizer import TextTokenizer

if TYPE_CHECKING:
    from voxtune.parts.mimi.codec import Mimi


@dataclass(frozen=True)
class Assets:
    """The codec and the tokenizer with the files that they come from; whitespace: words are written apart."""

    codec: Mimi
    codec_file: Path
    tokenizer: TextTokenizer
    tokenizer_file: Path
    text: TextIds
    whitespace: bool
