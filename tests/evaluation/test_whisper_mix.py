"""Upstream's normalisation of whole texts."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from voxtune.errors import VoxtuneError
from voxtune.evaluation.whisper_mix import Script, script_of, whisper_mix_normalize


@pytest.mark.parametrize(
    ("token", "script"),
    [
        ("Hello,", "english"),
        ("GPT-4", "english"),
        ("-", "english"),
        ("12.5%", "mixed"),
        ("10:30", "mixed"),
        ("用Python写", "mixed"),
        ("点", "mixed"),
        ("café", "other"),
        ("$5", "other"),
        ("とうきょう", "other"),
        ("[noise]", "other"),
    ],
)
def test_scripts(token: str, script: Script) -> None:
    assert script_of(token) == script


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The colour of Mr. Smith's car isn't grey!", "the color of mister smith is car is not gray"),
        ("until 10:30 a.m.", "until 1 3 0 a m"),
        ("dropped by 12.5% today", "dropped by 百 分 之 1 2 点 5 today"),
        ("(laughs) this is [noise] funny <tag>", "laughs this is  funny"),
        ("臺灣有23个", "台 湾 有 2 3 个"),
        ("气温是零下5摄氏度", "气 温 是 0 下 5 摄 氏 度"),
        ("今天\t天气\u3000很好", "今 天 天 气 很 好"),
        ("a=b", "a b"),
        ("uh um", ""),
        ("...", "点"),
        ("", ""),
    ],
)
def test_texts(text: str, expected: str) -> None:
    assert whisper_mix_normalize(text) == expected


@pytest.mark.parametrize(
    "text", ["\x00\ufeff\u200b", "😀" * 50, "9" * 500, "二" * 500, "'" * 9, "%" * 9, "é\u0301" * 9]
)
def test_strange_text_gives_some_text(text: str) -> None:
    assert isinstance(whisper_mix_normalize(text), str)


def test_katakana() -> None:
    pytest.importorskip("pyopenjtalk", reason="needs the extra `japanese`")
    assert whisper_mix_normalize("三人で寿司を食べた", kana=True) == "サ ン ニ ン デ ス シ ヲ タ ベ タ"
    assert whisper_mix_normalize("", kana=True) == ""


def test_katakana_without_its_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyopenjtalk", None)
    with pytest.raises(VoxtuneError, match=r"pip install 'voxtune\[japanese\]'"):
        whisper_mix_normalize("寿司", kana=True)


def test_katakana_reads_100_characters_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    pieces: list[str] = []

    def g2p(text: str, *, kana: bool) -> str:
        pieces.append(text)
        return "カナ" if kana else "phonemes"

    monkeypatch.setitem(sys.modules, "pyopenjtalk", SimpleNamespace(g2p=g2p))
    assert whisper_mix_normalize("あ" * 100 + "い" * 20, kana=True) == "カ ナ カ ナ"
    assert pieces == ["あ" * 100, "い" * 20]


def test_katakana_that_fails_names_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(text: str, *, kana: bool) -> str:
        raise RuntimeError("no dictionary")

    monkeypatch.setitem(sys.modules, "pyopenjtalk", SimpleNamespace(g2p=broken))
    with pytest.raises(VoxtuneError, match=r"cannot read '寿司' \(no dictionary\)"):
        whisper_mix_normalize("寿司", kana=True)
