"""Arabic digits to Chinese numerals, the way upstream's scoring does it (Fun-ASR `tools/cn_tn.py`).

The rules are reproduced with their oddities: error rates can be compared only after the same normalisation.
"""

from __future__ import annotations

import re
from collections.abc import Callable

DIGITS = "零一二三四五六七八九"
UNITS = dict(zip((1, 2, 3, *range(4, 48, 4)), "十百千万亿兆京垓秭穰沟涧正载", strict=True))

_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_DATE = re.compile(r"\D+((?:(?:[089]\d|(?:19|20)\d{2})年)?(?:\d{1,2}月(?:\d{1,2}[日号])?)?)")
_YEAR = re.compile(r"\d+(?=年)")
_CURRENCY = "(?:千万|百万|[亿万千百元块角毛分])"
_MONEY = re.compile(rf"\D(\d+(?:\.\d+)?[多余几]?{_CURRENCY}(?:\d{_CURRENCY}?)?)")
_MOBILE = re.compile(r"\D((?:\+?86 ?)?1(?:[38]\d|5[0-35-9]|7[678]|9[89])\d{8})\D")
_LANDLINE = re.compile(r"\D((?:0(?:10|2[1-3]|[3-9]\d{2})-?)?[1-9]\d{6,7})\D")
_FRACTION = re.compile(r"\d+/\d+")
_PERCENTAGE = re.compile(r"\d+(?:\.\d+)?%")
_MEASURE_WORD = (
    "[匹张座回场尾条个首阙阵网炮顶丘棵只支袭辆挑担颗壳窠曲墙群腔砣客贯扎捆刀令打手罗坡山岭江溪钟队单双对出口头脚板跳枝件贴针线管名位身堂课"
    "本页家户层丝毫厘分钱两斤铢石钧锱忽寸尺丈里寻常铺程撮勺合升斗盘碗碟叠桶笼盆盒杯斛锅簋篮罐瓶壶卮盏箩箱煲啖袋钵年月日季刻时周天秒旬纪岁"
    "世更夜春夏秋冬代伏辈丸泡粒幢堆根道面片块]|[千毫微]克|[千分厘毫微]米"
)
_QUANTITY = re.compile(rf"\d+(?:\.\d+)?(?=[多余几]?(?:{_MEASURE_WORD}))")
_LONG_DIGITS = re.compile(r"\d{4,32}")
_LATIN_TWO = re.compile(r"[a-zA-Z]+二[a-zA-Z]+")


def chinese_numbers(text: str) -> str:
    """Write every number of a text in Chinese numerals: dates, money, telephone numbers, percentages, quantities.

    Each rule finds its matches first and then replaces the first occurrence of each, as upstream does.
    """
    text = f"^{text}$"
    text = _rewrite(text, _DATE, _read_date)
    text = _rewrite(text, _MONEY, _read_numbers)
    text = _rewrite(text, _MOBILE, _read_telephone)
    text = _rewrite(text, _LANDLINE, _read_telephone)
    text = _rewrite(text, _FRACTION, _read_fraction)
    text = text.replace("％", "%")
    text = _rewrite(text, _PERCENTAGE, lambda match: "百分之" + read_cardinal(match.removesuffix("%")))
    text = _rewrite(text, _QUANTITY, read_cardinal)
    text = _rewrite(text, _LONG_DIGITS, read_digits)
    text = _rewrite(text, _NUMBER, read_cardinal)
    text = _rewrite(text, _LATIN_TWO, lambda match: match.replace("二", "2", 1))
    return text.lstrip("^").rstrip("$")


def read_digits(digits: str) -> str:
    """Digit by digit: 2008 is 二零零八."""
    return "".join(DIGITS[int(digit)] for digit in digits)


def read_cardinal(number: str) -> str:
    """As a quantity: 105 is 一百零五, 2.5 is 二点五, 200 is 两百."""
    integer, point, decimals = number.partition(".")
    reading = _read_integer(integer)
    if len(integer) > 1:
        reading = re.sub(r"(?:(?<=[^零一二三四五六七八九十])|^)二(?=[百千万亿兆京垓秭穰沟涧正载])", "两", reading)
        reading = re.sub(r"^一十", "十", reading)
    if point:
        reading = (reading or "零") + "点" + read_digits(decimals)
    return reading


def _read_integer(digits: str) -> str:
    if len(digits) == 1:
        return DIGITS[int(digits)]
    return _read_grouped(digits)


def _read_grouped(digits: str) -> str:
    significant = digits.lstrip("0")
    if not significant:
        return ""
    if len(significant) == 1:
        return ("零" if digits != significant else "") + DIGITS[int(significant)]
    power = max(power for power in UNITS if power < len(significant))
    return _read_grouped(digits[:-power]) + UNITS[power] + _read_grouped(significant[-power:])


def _read_numbers(text: str) -> str:
    return _rewrite(text, _NUMBER, read_cardinal)


def _read_date(text: str) -> str:
    return _read_numbers(_rewrite(text, _YEAR, read_digits))


def _read_telephone(text: str) -> str:
    return read_digits(re.sub(r"\D", "", text))


def _read_fraction(text: str) -> str:
    numerator, denominator = text.split("/")
    return f"{read_cardinal(denominator)}分之{read_cardinal(numerator)}"


def _rewrite(text: str, pattern: re.Pattern[str], read: Callable[[str], str]) -> str:
    for match in pattern.findall(text):
        text = text.replace(match, read(match), 1)
    return text
