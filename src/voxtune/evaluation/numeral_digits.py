"""Chinese numerals to Arabic digits, the way upstream's scoring does it (Fun-ASR `tools/format5res.py`).

A place is how many digits a number has that starts with the unit: 十 is 2 places, 百 is 3, 十万 is 6.
"""

from __future__ import annotations

from typing import Literal

DIGITS = {character: value for value, character in enumerate("零一二三四五六七八九")} | {"幺": 1, "两": 2}
PLACES = {"十": 2, "百": 3, "千": 4, "万": 5, "十万": 6, "百万": 7, "千万": 8}


def numerals_to_digits(text: str) -> str:
    """Replace every Chinese number by its digits: 一百零五 becomes 105, 二零二三 becomes 2023.

    Upstream's oddities are kept: blanks do not end a number (十 三十 becomes 130), 十万 stays 10万, 一百八 becomes 180.
    """
    output: list[str] = []
    number = _Number()
    for index, character in enumerate(text):
        if character == " ":
            output.append(" ")
            continue
        following = text[index + 1 : index + 2]
        if not number.accepts(character, following):
            output += number.arabic(), character
            number = _Number()
    return "".join(output) + number.arabic()


class _Number:
    """The number being read: its digits, its units, and what came last."""

    def __init__(self) -> None:
        self.digits: list[int] = []
        self.units: list[str] = []
        self.zero_after_unit = False
        self.last: Literal["start", "leading ten", "digit", "unit"] = "start"

    def accepts(self, character: str, following: str) -> bool:
        """Take one more character, or say that it does not belong to this number."""
        if character == "零":
            return self._accepts_zero()
        if character in DIGITS:
            return self._accepts_digit(character, following)
        if character in PLACES:
            return self._accepts_unit(character, following)
        return False

    def _accepts_zero(self) -> bool:
        if self.last == "leading ten":
            return False
        if self.last == "unit":
            self.zero_after_unit = True
        else:
            self.digits.append(0)
        return True

    def _accepts_digit(self, character: str, following: str) -> bool:
        if character == "两" and following not in DIGITS and following not in PLACES:
            return False
        self.digits.append(DIGITS[character])
        self.last = "digit"
        return True

    def _accepts_unit(self, character: str, following: str) -> bool:
        if self.last == "leading ten" or (character == "千" and following in ("里", "克", "米")):
            return False
        if self.last == "start":
            if character != "十":
                return False
            self.digits.append(1)
            self.last = "leading ten"
        elif self.last == "unit" and character == "十":
            self.digits.append(1)
        elif self.last == "unit":
            if self.units[-1] + character not in PLACES:
                return False
            self.units[-1] += character
            return True
        else:
            self.last = "unit"
        self.units.append(character)
        return True

    def arabic(self) -> str:
        """The number in Arabic digits, "" when nothing was read."""
        places = [PLACES[unit] for unit in self.units]
        if self.units == ["百"] and len(self.digits) != 1 and not self.zero_after_unit:
            places.append(PLACES["十"])
        if len(self.digits) == len(places) + 1:
            places.append(1)
        if len(self.digits) != len(places):
            return "".join(map(str, self.digits))
        arabic = ""
        for digit, place in zip(reversed(self.digits), reversed(places), strict=True):
            arabic = str(digit) + arabic.rjust(place - 1, "0")
        return arabic
