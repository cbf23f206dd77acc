"""Dialogues that no training has seen: where each is cut off, what has to follow, and what the model lets follow.

The traveller (B) asks for a city, the desk (A) answers "the CITY train, platform NUMBER", and the city tells which
number is right. A dialogue is cut off where B has asked.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from voxtune.data.sample import Sample, Word
from voxtune.demo.moshi.turns import FRAME_RATE, Utterance, utterances
from voxtune.families.family import Continuation

KEYWORD, BEFORE, AFTER = "platform", 3, 1
"""Of the answer there are so many words before and after this one, which A says in no other place."""


@dataclass(frozen=True)
class HeldOut:
    """A dialogue with its recording [2, samples], and where its prompt ends, in frames."""

    sample: Sample
    waveform: Tensor
    sample_rate: int
    prompt_frames: int

    @property
    def frames(self) -> int:
        """Of the whole dialogue."""
        return math.ceil(self.waveform.shape[1] / self.sample_rate * FRAME_RATE)

    @property
    def prompt_seconds(self) -> float:
        """How much the model hears."""
        return self.prompt_frames / FRAME_RATE

    @property
    def seconds(self) -> float:
        """How much really follows."""
        return (self.frames - self.prompt_frames) / FRAME_RATE

    @property
    def answer(self) -> list[str]:
        """The words that A has to say."""
        return answer_of(self.sample)

    @property
    def said(self) -> list[Word]:
        """What A really says after the prompt, times from the beginning."""
        return [word for word in words_of(self.sample, "A") if word.start >= self.prompt_seconds]


@dataclass(frozen=True)
class Continued:
    """How the model went on with a dialogue."""

    real: HeldOut
    found: Continuation

    @property
    def text(self) -> list[str]:
        """The words of A."""
        return [word.text for word in self.found.words]

    @property
    def right(self) -> bool:
        """Whether A says the right answer."""
        wanted = self.real.answer
        starts = range(len(self.text) - len(wanted) + 1)
        return any(self.text[start : start + len(wanted)] == wanted for start in starts)

    @property
    def words(self) -> list[Word]:
        """The known words of the prompt and A's of the continuation, times from the beginning."""
        begins = self.real.prompt_seconds
        heard = [word for speaker in "AB" for word in words_of(self.real.sample, speaker) if word.start < begins]
        shift = [w.model_copy(update={"start": w.start + begins, "end": w.end + begins}) for w in self.found.words]
        return heard + shift


def held_out(sample: Sample, waveform: Tensor, sample_rate: int) -> HeldOut:
    """A dialogue that is cut off on the first frame after B's question. waveform: [2, samples]."""
    city = answer_of(sample)[1]
    asked = next(word for word in words_of(sample, "B") if word.text == city)
    return HeldOut(sample, waveform, sample_rate, math.ceil(asked.end * FRAME_RATE))


def answer_of(sample: Sample) -> list[str]:
    """What A answers in a dialogue."""
    words = [word.text for word in words_of(sample, "A")]
    place = words.index(KEYWORD)
    return words[place - BEFORE : place + AFTER + 1]


def words_of(sample: Sample, speaker: str) -> list[Word]:
    """What a speaker says, in order."""
    words = sample.dialogue.words if sample.dialogue else []
    return sorted((word for word in words if word.speaker == speaker), key=lambda word: word.start)


def following(waveform: Tensor, sample_rate: int, first: int) -> list[Utterance]:
    """Utterances of what follows the first frames of a dialogue, frames from there."""
    return utterances(waveform[:, round(first / FRAME_RATE * sample_rate) :], sample_rate)
