"""What counts as the same text, and what is counted."""

from __future__ import annotations

import pytest

from voxtune.errors import VoxtuneError
from voxtune.evaluation.normalization import normalize, unit_of


@pytest.mark.parametrize("language", ["zh", "yue", "ja", "th", "zh-CN", "ZH", "zh_Hant_TW", "lo", "km", "my"])
def test_languages_without_blanks_are_counted_by_character(language: str) -> None:
    assert unit_of(language) == "char"


@pytest.mark.parametrize("language", ["en", "ko", "vi", "en-GB", "fil", "ar"])
def test_other_languages_are_counted_by_word(language: str) -> None:
    assert unit_of(language) == "word"


@pytest.mark.parametrize("language", ["", "中文", "english", "e", "zh CN", "zh-", "12"])
def test_what_is_no_language_code_is_refused(language: str) -> None:
    with pytest.raises(VoxtuneError, match="not a language code"):
        unit_of(language)


def test_a_country_is_not_a_language() -> None:
    with pytest.raises(VoxtuneError, match="use 'zh'"):
        unit_of("cn")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello, World!", "hello world"),
        ("Don’t — ‘quote’ me.", "don't quote me"),
        ("今天天气很好，我们去公园。", "今天天气很好 我们去公园"),
        ("ＡＢＣ　１２３", "abc 123"),
        ("naïve Café", "naïve café"),
        ("cafe\u0301", "café"),
        ("ที่นี่", "ที่นี่"),
        ("हिन्दी।", "हिन्दी"),
        ("rock 'n' roll", "rock n roll"),
        ("$5 + 3%", "5 3"),
        ("  ...  ", ""),
        ("", ""),
    ],
)
def test_case_width_and_punctuation_do_not_count(text: str, expected: str) -> None:
    assert normalize(text) == expected
