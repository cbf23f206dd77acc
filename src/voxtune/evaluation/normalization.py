"""What is compared, by language: which spellings count as the same, and whether words or characters are counted."""

from __future__ import annotations

import re
import unicodedata

from voxtune.errors import VoxtuneError
from voxtune.evaluation.error_rate import Unit

# Written without blanks between words: a word error rate would depend on a segmenter.
CHARACTER_LANGUAGES = {"bo", "cmn", "dz", "hak", "hsn", "ja", "km", "lo", "my", "nan", "th", "wuu", "yue", "zh"}
_COUNTRY_CODES = {"cn": "zh", "jp": "ja", "vn": "vi", "gb": "en", "us": "en"}
_LANGUAGE = re.compile("([a-z]{2,3})([-_][a-z0-9]+)*")
_UNSPACED_SCRIPTS = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN")
_QUOTES = str.maketrans("‘’ʼ", "'''")


def unit_of(language: str) -> Unit:
    """`char` for languages written without blanks (zh, yue, ja, th, ...), `word` for all others.

    Raises VoxtuneError when `language` is not a code like `zh`, `en` or `yue` (ISO 639; zh-CN works too).
    """
    match = _LANGUAGE.fullmatch(language.lower())
    if match is None:
        raise VoxtuneError(f"language {language!r} is not a language code: use one like zh, en, ja or yue (ISO 639)")
    code = match.group(1)
    if code in _COUNTRY_CODES:
        raise VoxtuneError(f"language {language!r} is the code of a country: use {_COUNTRY_CODES[code]!r}")
    return "char" if code in CHARACTER_LANGUAGES else "word"


def normalize(text: str) -> str:
    """Compatible forms made one (NFKC), lower case, and every punctuation mark and symbol a blank.

    An apostrophe inside a word stays (don't), and so do accents and vowel signs. Numbers stay as they are written.
    """
    lowered = unicodedata.normalize("NFKC", text).lower().translate(_QUOTES)
    kept = "".join(
        character if character == "'" or unicodedata.category(character)[0] in "LMN" else " " for character in lowered
    )
    return " ".join(word.strip("'") for word in kept.split() if word.strip("'"))


def unit_of_text(text: str) -> Unit:
    """`char` when most of the letters of a text belong to scripts that are written without blanks, else `word`."""
    letters = [character for character in text if character.isalpha()]
    unspaced = sum(unicodedata.name(c, "").startswith(_UNSPACED_SCRIPTS) for c in letters)
    return "char" if 2 * unspaced > len(letters) else "word"
