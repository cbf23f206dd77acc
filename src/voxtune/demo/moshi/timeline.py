"""A piano roll of dialogues as SVG: a lane for each speaker, where they speak and what, and where the prompt ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from voxtune.data.sample import Word
from voxtune.demo.moshi.turns import FRAME_RATE, Utterance

WIDTH, LEFT = 980, 84
ROWS, ROW = 3, 13
"""Words of a lane are written in rows of so many pixels, because some last less than it takes to write them."""
BAR = 16
LANE = ROWS * ROW + BAR + 8
TITLE, FOOT, BETWEEN = 18, 18, 12
LETTER = 6.2
COLOURS = {"A": "#2f7d6d", "B": "#d97757"}


@dataclass(frozen=True)
class Roll:
    """One dialogue of a picture: where somebody speaks, and the words that are known, times in seconds."""

    title: str
    utterances: Sequence[Utterance]
    words: Sequence[Word]
    seconds: float


def timeline(rolls: Sequence[Roll], prompt_seconds: float) -> str:
    """Dialogues one above the other, on one axis of time."""
    seconds = max(roll.seconds for roll in rolls)
    scale = (WIDTH - LEFT) / seconds
    height = TITLE + len(rolls) * (2 * LANE + BETWEEN + TITLE) + FOOT
    shapes: list[str] = []
    top = 0.0
    for roll in rolls:
        shapes.append(_text(LEFT, top + 13, roll.title, weight=600, colour="#1d2433"))
        top += TITLE
        for speaker in ("A", "B"):
            shapes += _lane(roll, speaker, top, scale)
            top += LANE
        top += BETWEEN
    for second in range(int(seconds) + 1):
        shapes.append(_text(LEFT + second * scale, top + 12, f"{second} s", anchor="middle"))
    x = LEFT + prompt_seconds * scale
    shapes.append(f'<path class="prompt-end" d="M{x:.1f} 3 V{top:.1f}" stroke="#1d2433" stroke-dasharray="4 3"/>')
    shapes.append(_text(x + 4, 13, "the prompt ends", colour="#1d2433"))
    return f'<svg viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" font-family="system-ui">{"".join(shapes)}</svg>'


def _lane(roll: Roll, speaker: str, top: float, scale: float) -> list[str]:
    bar = top + ROWS * ROW + 2
    shapes = [
        _text(LEFT - 8, bar + BAR - 4, {"A": "A, the desk", "B": "B, traveller"}[speaker], anchor="end"),
        f'<rect x="{LEFT}" y="{bar:.1f}" width="{roll.seconds * scale:.1f}" height="{BAR}" fill="#f2f4f7"/>',
    ]
    for each in roll.utterances:
        if each.speaker == speaker:
            x, width = (LEFT + each.first / FRAME_RATE * scale), (each.end - each.first) / FRAME_RATE * scale
            shapes.append(
                f'<rect class="speech" x="{x:.1f}" y="{bar:.1f}" width="{width:.1f}" height="{BAR}" rx="3" '
                f'fill="{COLOURS[speaker]}"/>'
            )
    free = [0.0] * ROWS
    for word in sorted((word for word in roll.words if word.speaker == speaker), key=lambda word: word.start):
        x = LEFT + word.start * scale
        row = next((number for number in range(ROWS) if free[number] <= x), free.index(min(free)))
        shapes.append(_text(x, top + (row + 1) * ROW - 2, word.text))
        shapes.append(f'<path d="M{x:.1f} {bar:.1f} v{BAR}" stroke="#fff" stroke-opacity=".7"/>')
        free[row] = x + LETTER * (len(word.text) + 1)
    return shapes


def _text(x: float, y: float, text: str, *, anchor: str = "start", colour: str = "#667085", weight: int = 400) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="11.5" font-weight="{weight}" fill="{colour}" '
        f'text-anchor="{anchor}">{escape(text)}</text>'
    )
