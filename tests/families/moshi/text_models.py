"""Small SentencePiece models, made here: ids 0 unknown, 1 begin, 2 end, 3 padding."""

from __future__ import annotations

from functools import cache
from io import BytesIO

import sentencepiece

from voxtune.families.moshi.text import TextIds
from voxtune.families.moshi.tokenizer import TextTokenizer

IDS = TextIds()

ENGLISH = (
    "hello how are you doing today",
    "thanks that is great but the fish is still in the town",
    "please could you book a table for three on friday",
    "i don't know what they said about the internationalization of it",
    "well actually yes no maybe jumping over quick brown foxes",
)
JAPANESE = (
    "こんにちは今日はいい天気ですね",
    "名古屋大学の研究室で対話システムを作っています",
    "ガラスの駅です。はい、そうです。",
    "ええとそれは知りませんでした",
)


@cache
def model_bytes(
    lines: tuple[str, ...], *, pieces: int, byte_fallback: bool, normalization: str, changes: bool = True
) -> bytes:
    """Train a model on a few lines. changes: it has tokens for a beginning and an end."""
    written = BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines * 20),
        model_writer=written,
        vocab_size=pieces,
        hard_vocab_limit=False,
        byte_fallback=byte_fallback,
        normalization_rule_name=normalization,
        character_coverage=1.0,
        bos_id=1 if changes else -1,
        eos_id=2 if changes else -1,
        pad_id=3,
        num_threads=1,
        minloglevel=2,
    )
    return written.getvalue()


def english() -> TextTokenizer:
    """Without bytes; its normalisation takes newlines away."""
    return TextTokenizer(model_bytes(ENGLISH, pieces=90, byte_fallback=False, normalization="nmt_nfkc"))


def english_with_bytes(normalization: str = "nmt_nfkc") -> TextTokenizer:
    """Characters outside the vocabulary become the pieces of their bytes."""
    return TextTokenizer(model_bytes(ENGLISH, pieces=340, byte_fallback=True, normalization=normalization))


def japanese() -> TextTokenizer:
    """Without bytes."""
    return TextTokenizer(model_bytes(JAPANESE, pieces=80, byte_fallback=False, normalization="nmt_nfkc"))


def spelled(tokenizer: TextTokenizer, text: str) -> list[int]:
    """The tokens of a text, without the space that the tokenizer puts before it where that is a token of its own."""
    pieces = tokenizer.pieces(text)
    return [piece.id for piece in (pieces[1:] if pieces and pieces[0].text == "▁" else pieces)]
