"""Where held-out dialogues are cut off, and what counts as the right answer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from voxtune.data.audio import load
from voxtune.data.manifest import read_samples
from voxtune.data.sample import AudioPart, Dialogue, Sample, Word
from voxtune.demo.moshi.heldout import Continued, HeldOut, answer_of, held_out, words_of
from voxtune.demo.moshi.story import DIALOGUES
from voxtune.families.family import Continuation

RATE = 24000


def said(speaker: str, text: str, start: float) -> list[Word]:
    """A word every 0.4 s."""
    return [
        Word.model_validate({"speaker": speaker, "text": word, "start": start + 0.4 * n, "end": start + 0.4 * n + 0.35})
        for n, word in enumerate(text.split())
    ]


@pytest.fixture
def real() -> HeldOut:
    words = [
        *said("A", "hello station desk", 0.2),
        *said("B", "which platform for paris", 1.6),
        *said("A", "the paris train platform one have a nice trip", 3.6),
        *said("B", "thank you", 5.4),
    ]
    sample = Sample(key="paris-0", dialogue=Dialogue(audio=[AudioPart(path="paris-0.wav")], words=words))
    return held_out(sample, torch.zeros(2, 8 * RATE), RATE)


def continuation(text: str) -> Continuation:
    silent = torch.zeros(2, RATE)
    return Continuation("paris-0", torch.zeros(17, 12), silent, silent, said("A", text, 0.0), "generated")


def test_the_prompt_ends_behind_the_question(real: HeldOut) -> None:
    assert real.prompt_seconds == pytest.approx(3.2)  # the city ends at 3.15 s
    assert real.seconds == pytest.approx(8 - 3.2)
    assert " ".join(real.answer) == "the paris train platform one"
    assert " ".join(word.text for word in real.said) == "the paris train platform one have a nice trip"


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("the paris train platform one you are welcome", True),
        ("yes the paris train platform one", True),
        ("the paris train platform two you are welcome", False),
        ("the london train platform two", False),
        ("the paris train train platform one", False),
        ("the paris train platform", False),
        ("", False),
    ],
)
def test_only_the_whole_answer_is_right(real: HeldOut, text: str, right: bool) -> None:
    assert Continued(real, continuation(text)).right is right


def test_words_of_the_continuation_follow_the_prompt(real: HeldOut) -> None:
    words = Continued(real, continuation("the paris")).words
    assert [word.text for word in words[-2:]] == ["the", "paris"]
    assert [word.start for word in words[-2:]] == pytest.approx([3.2, 3.6])
    assert all(word.start < 3.2 for word in words[:-2])


def _city(words: Sequence[Word]) -> str:
    return next(word.text for word in words if word.text in {answer_of(s)[1] for s in _shipped()})


def _shipped() -> list[Sample]:
    return read_samples(Path(DIALOGUES) / "validation")


def test_shipped_dialogues_can_be_cut_off_between_question_and_answer() -> None:
    for sample in _shipped():
        waveform = torch.stack([load(part, RATE) for part in sample.audio])
        found = held_out(sample, waveform, RATE)
        asked = [word for word in words_of(sample, "B") if word.end <= found.prompt_seconds]
        assert asked[-1].text == found.answer[1] == _city(words_of(sample, "B"))
        assert [word.text for word in found.said][:5] == found.answer
        assert 2 < found.prompt_seconds < 5
        assert found.seconds > 2
