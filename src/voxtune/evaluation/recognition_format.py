"""Layout of recognition results before scoring, the way upstream does it (Fun-ASR `tools/format5res.py`)."""

from __future__ import annotations

import re

from voxtune.evaluation.numeral_digits import numerals_to_digits

_LATIN = "\x00-\x2f\x3a-\x7f\u0080-\u017f\u0400-\u04ff"
_IS_LATIN = re.compile(f"[{_LATIN}]")
_IS_CHINESE_OR_DIGIT = re.compile("[\u4e00-\u9fa50-9]")
_NUMERALS = "零一二两三四五六七八"
_SYMBOLS = str.maketrans(
    {
        "÷": "除以",
        "×": "乘以",
        "=": "等于",
        "+": "加",
        "-": "负",
        "℃": "摄氏度",
        "㎡": "平方米",
        "‰": "%",
        "﹪": "%",
        ".": "点",
        "°": "度",
        "′": "分",  # upstream stops with an error when no ° comes before it
    }
)


def format_recognition(text: str) -> str:
    """Join Chinese characters, set Latin words apart, and write numbers and symbols in one way.

    A digit that is still Arabic here becomes the numeral at its position in a list that holds both 二 and 两: 3 reads
    两 and 4 reads 三. That is upstream's table, and comparable numbers need it.
    """
    numerals = re.sub(r"\d", lambda digit: _NUMERALS[int(digit.group())], join_chinese(text))
    return space_characters(numerals_to_digits(numerals).translate(_SYMBOLS))


def join_chinese(text: str) -> str:
    """Drop the blanks between Chinese characters and digits, and keep one blank around Latin words."""
    output: list[str] = []
    in_latin = False
    for character in text:
        if character == " ":
            output.append(" " if in_latin else "")
        elif _IS_CHINESE_OR_DIGIT.match(character):
            output.append(f" {character}" if in_latin else character)
            in_latin = False
        elif not _IS_LATIN.match(character):
            output.append(f" {character}")
        elif in_latin:
            output.append(character)
        else:
            output.append(" " if character == "'" else f" {character}")
            in_latin = True
    return re.sub(" +", " ", "".join(output))


def space_characters(text: str) -> str:
    """Put a blank before every character but the later ones of a Latin word: each digit becomes a token of its own."""
    spaced = re.sub(f"(?!\\A)(?:(?<![{_LATIN}])(?!\\Z)|(?=[^{_LATIN}]))", " ", text)
    return re.sub(" +", " ", spaced)
