"""Blanks, digits and symbols before scoring."""

from __future__ import annotations

import pytest

from voxtune.evaluation.recognition_format import format_recognition, join_chinese, space_characters


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("今天 天气", "今天天气"),
        ("请 call 我", "请 call 我"),
        ("用python写", "用 python 写"),
        ("it's 5 pm", " it's 5 pm"),
        ("中'", "中 "),
        ("привет мир", " привет мир"),
        ("かな", " か な"),
        ("龥鿿", "龥 鿿"),
        ("", ""),
    ],
)
def test_chinese_is_joined_and_latin_set_apart(text: str, expected: str) -> None:
    assert join_chinese(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5g手机", "5 g 手 机"),
        ("gpt 4", "gpt 4"),
        ("$45.50", "$ 4 5 . 5 0"),
        ("dónde está", "dónde está"),
        ("안녕", "안 녕"),
        (" a", " a"),
        ("a ", "a "),
        ("", ""),
    ],
)
def test_every_character_but_those_of_latin_words_stands_alone(text: str, expected: str) -> None:
    assert space_characters(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("三点五 kg", "3 点 5 kg"),
        ("3 4", "2 3"),
        ("b2b", " b 2 b"),
        ("气温-5", "气 温 负 4"),
        ("10°30′", " 1 0 度 2 0 分"),
        ("5℃", " 4 摄 氏 度"),
        ("3.14", "两 点 1 3"),
        ("٣", " 两"),
    ],
)
def test_the_whole_format(text: str, expected: str) -> None:
    assert format_recognition(text) == expected
