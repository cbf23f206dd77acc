"""Japanese text to katakana by pronunciation, with Open JTalk."""

from __future__ import annotations

from voxtune.errors import DataError, VoxtuneError

PIECE_LENGTH = 100


def to_katakana(text: str) -> str:
    """The reading of a text in katakana, 100 characters at a time, as upstream's scoring does it.

    Raises VoxtuneError when pyopenjtalk-plus is not installed, DataError when it cannot read a piece. (Upstream keeps
    such a piece as it is.)
    """
    try:
        import pyopenjtalk
    except ImportError as error:
        raise VoxtuneError(
            "katakana normalisation needs pyopenjtalk-plus: install it with `pip install 'voxtune[japanese]'`"
        ) from error
    pieces = [text[start : start + PIECE_LENGTH] for start in range(0, len(text), PIECE_LENGTH)]
    readings: list[str] = []
    for piece in pieces:
        try:
            readings.append("".join(pyopenjtalk.g2p(piece, kana=True)))
        except Exception as error:
            raise DataError(f"Open JTalk cannot read {piece!r} ({error}): correct this text") from error
    return " ".join(readings)
