"""Upstream's text normalisation before scoring (Fun-ASR `tools/whisper_mix_normalize.py`).

Error rates of two systems can be compared only after the same normalisation. This one is full of oddities (10:30
becomes 1 3 0); all of them are kept, for scoring only.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from itertools import groupby
from typing import Literal

from voxtune.errors import DataError
from voxtune.evaluation.chinese_numbers import chinese_numbers
from voxtune.evaluation.kana import to_katakana
from voxtune.evaluation.recognition_format import format_recognition, space_characters

_PUNCTUATION = ",.!?:;，。！？：；、%'"
_ENGLISH = re.compile(f"[A-Za-z0-9{_PUNCTUATION}~-]+")
_CHINESE_OR_ENGLISH = re.compile(f"[\u4e00-\u9fa5A-Za-z0-9{_PUNCTUATION}~-]+")
_NUMBER = re.compile(f"[0-9{_PUNCTUATION}]+")

Script = Literal["english", "mixed", "other"]


def whisper_mix_normalize(text: str, *, kana: bool = False) -> str:
    """Normalise one text (without its key): every digit and Chinese character becomes a token of its own.

    `kana` turns Japanese into katakana first. Raises VoxtuneError when the package for `kana` is not installed, and
    DataError when a text cannot be normalised.
    """
    text = text.translate(str.maketrans("=()", "   "))
    if kana:
        text = to_katakana(text)
    runs = groupby(text.split(), key=script_of)
    return " ".join(_normalize_run(" ".join(tokens), script) for script, tokens in runs).strip()


def script_of(token: str) -> Script:
    """Which rules a token follows. A pure number counts as mixed."""
    if _ENGLISH.fullmatch(token) and not _NUMBER.fullmatch(token):
        return "english"
    return "mixed" if _CHINESE_OR_ENGLISH.fullmatch(token) else "other"


def _normalize_run(text: str, script: Script) -> str:
    normalizer = basic_normalizer() if script == "other" else english_normalizer()
    try:
        normalized = normalizer(text)
    except (AssertionError, ValueError) as error:  # a number of more than 4300 digits
        raise DataError(f"Whisper's normaliser cannot read {text[:40]!r} ...: correct this text") from error
    if script == "english":
        return space_characters(normalized)
    return to_simplified(format_recognition(chinese_numbers(normalized)))


@cache
def english_normalizer() -> Callable[[str], str]:
    """Whisper's normaliser for English, with its table of British and American spellings."""
    from whisper_normalizer.english import EnglishTextNormalizer

    normalizer: Callable[[str], str] = EnglishTextNormalizer()  # type: ignore[no-untyped-call]
    return normalizer


@cache
def basic_normalizer() -> Callable[[str], str]:
    """Whisper's normaliser for every other language."""
    from whisper_normalizer.basic import BasicTextNormalizer

    normalizer: Callable[[str], str] = BasicTextNormalizer()
    return normalizer


def to_simplified(text: str) -> str:
    """Traditional Chinese characters to the simplified ones of mainland China."""
    from zhconv.zhconv import convert

    simplified: str = convert(text, "zh-cn")  # type: ignore[no-untyped-call]
    return simplified
