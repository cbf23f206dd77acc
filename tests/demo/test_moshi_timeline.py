"""The piano roll: bars where somebody speaks, words that can be read, a line where the prompt ends."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from voxtune.data.sample import Word
from voxtune.demo.moshi.timeline import LEFT, ROW, WIDTH, Roll, timeline
from voxtune.demo.moshi.turns import Utterance


def drawn(rolls: list[Roll], prompt_seconds: float = 2.0) -> ET.Element:
    return ET.fromstring(timeline(rolls, prompt_seconds))


def roll(title: str = "really", utterances: list[Utterance] | None = None, words: list[Word] | None = None) -> Roll:
    return Roll(title, utterances or [], words or [], 4.0)


def bars(picture: ET.Element) -> list[ET.Element]:
    return [shape for shape in picture.iter("rect") if shape.get("class") == "speech"]


def word(speaker: str, text: str, start: float) -> Word:
    return Word.model_validate({"speaker": speaker, "text": text, "start": start, "end": start + 0.1})


def test_bars_stand_at_their_times_in_their_speakers_lane() -> None:
    picture = drawn([roll(utterances=[Utterance("A", 0, 25), Utterance("B", 25, 50)])])
    a, b = bars(picture)
    scale = (WIDTH - LEFT) / 4.0
    assert float(a.get("x", "")) == pytest.approx(LEFT, abs=0.1)
    assert float(b.get("x", "")) == pytest.approx(LEFT + 2 * scale, abs=0.1)
    assert float(a.get("width", "")) == pytest.approx(2 * scale, abs=0.1)
    assert float(a.get("y", "")) < float(b.get("y", ""))
    assert a.get("fill") != b.get("fill")


def test_dialogues_stand_one_above_the_other() -> None:
    spoken = [Utterance("A", 0, 25)]
    first, second = bars(drawn([roll("really", spoken), roll("continued", spoken)]))
    assert float(first.get("y", "")) < float(second.get("y", ""))
    assert first.get("x") == second.get("x")


def test_the_prompt_ends_at_a_line() -> None:
    [line] = [p for p in drawn([roll()], 1.0).iter("path") if p.get("class") == "prompt-end"]
    assert line.get("d", "").startswith(f"M{LEFT + (WIDTH - LEFT) / 4:.1f} ")


def test_words_are_written_and_neighbours_do_not_cover_each_other() -> None:
    words = [word("A", "the", 1.0), word("A", "<paris>", 1.03), word("A", "train", 1.06), word("B", "thanks", 1.0)]
    texts = {t.text: t for t in drawn([roll(words=words)]).iter("text")}
    assert {"the", "<paris>", "train", "thanks"} <= texts.keys()
    heights = {float(texts[name].get("y", "")) for name in ("the", "<paris>", "train")}
    assert len(heights) == 3
    assert all(abs(a - b) >= ROW for a in heights for b in heights - {a})
    assert float(texts["thanks"].get("y", "")) > max(heights)
