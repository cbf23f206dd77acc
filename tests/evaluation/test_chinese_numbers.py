"""Digits to Chinese numerals, with upstream's readings."""

from __future__ import annotations

import pytest

from voxtune.evaluation.chinese_numbers import chinese_numbers, read_cardinal, read_digits


@pytest.mark.parametrize(
    ("number", "reading"),
    [
        ("0", "零"),
        ("2", "二"),
        ("10", "十"),
        ("12", "十二"),
        ("20", "二十"),
        ("22", "二十二"),
        ("105", "一百零五"),
        ("110", "一百一十"),
        ("200", "两百"),
        ("222", "两百二十二"),
        ("1050", "一千零五十"),
        ("20000", "两万"),
        ("102002", "十万两千零二"),
        ("12345678901", "一百二十三亿四千五百六十七万八千九百零一"),
        ("0.5", "零点五"),
        ("2.50", "二点五零"),
        ("00.5", "零点五"),
        ("05", "零五"),
        ("000", ""),
    ],
)
def test_cardinals(number: str, reading: str) -> None:
    assert read_cardinal(number) == reading


def test_digit_by_digit() -> None:
    assert read_digits("2008") == "二零零八"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("他出生于1998年5月20日", "他出生于一九九八年五月二十日"),
        ("价格是5999元", "价格是五千九百九十九元"),
        ("5千万元12", "五千万元十二"),
        ("卖12块5", "卖十二块五"),
        ("电话13812345678", "电话一三八一二三四五六七八"),
        ("打+86 13812345678吧", "打八六一三八一二三四五六七八吧"),
        ("座机010-87654321", "座机零一零八七六五四三二一"),
        ("3/4的人", "四分之三的人"),
        ("涨了12.5％", "涨了百分之十二点五"),
        ("300多张票", "三百多张票"),
        ("收于3250点", "收于三二五零点"),
        ("301室", "三百零一室"),
        ("B2B和O2O", "B2B和O2O"),
        ("10 30", "十 三十"),
        ("$5$", "$五"),
        ("没有数字", "没有数字"),
        ("", ""),
    ],
)
def test_rules(text: str, expected: str) -> None:
    assert chinese_numbers(text) == expected
