"""Chinese numerals to digits, oddities included."""

from __future__ import annotations

import pytest

from voxtune.evaluation.numeral_digits import numerals_to_digits


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("一百零五", "105"),
        ("一百八", "180"),
        ("一千八", "1008"),
        ("一千零五十万", "1500000"),
        ("两万三千四百五十六", "23456"),
        ("二零二三年十二月", "2023年12月"),
        ("幺幺零", "110"),
        ("十二 三十", " 123"),
        ("十几个", "10几个"),
        ("零下", "0下"),
        ("两个", "两个"),
        ("两百", "200"),
        ("十万", "10万"),
        ("一十万", "100000"),
        ("十零五", "10零5"),
        ("千里", "千里"),
        ("三千里", "3千里"),
        ("三千 里", " 3000里"),
        ("一亿二千万", "1亿20000000"),
        ("五十五十", "550"),
        ("一千十十", "1110"),
        ("百分之三点五", "百分之3点5"),
        ("", ""),
    ],
)
def test_numbers(text: str, expected: str) -> None:
    assert numerals_to_digits(text) == expected
