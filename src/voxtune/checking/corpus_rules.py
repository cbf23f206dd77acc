"""What is wrong with samples side by side: duplicates, leaks between splits, texts that do not fit their audio."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from voxtune.checking.report import Finding
from voxtune.data.sample import SPEAKERS, Sample

FEWEST_FOR_OUTLIERS = 20
OUTLIER_DEVIATIONS = 6.0
OUTLIER_FACTOR = 3.0
"""An outlier is this many robust deviations and at least this factor away from the median."""
MOST_LETTERS = 40.0
FEWEST_LETTERS = 0.5
"""Letters a second; the fastest speakers reach 25, an ideogram counts as three letters."""
IDEOGRAM_LETTERS = 3
SHORTEST_FOR_FEWEST = 3.0


@dataclass(frozen=True)
class Known:
    """A readable sample: its split, the digests of its recordings or tokens, the seconds of audio in it, and which
    speakers of a dialogue have no words."""

    split: str
    sample: Sample
    contents: tuple[str, ...]
    seconds: float
    wordless: tuple[str, ...] = ()


def corpus_rules(samples: Mapping[str, Sequence[Sample]], known: Sequence[Known]) -> Iterator[Finding]:
    """All rules between samples. `known`: the readable ones."""
    for split, members in samples.items():
        yield from _repeated_keys(split, members)
        own = [entry for entry in known if entry.split == split]
        yield from _repeated_audio(own)
        yield from _misfits(own)
        yield from _wordless(own)
    yield from _leaks(known)


def _repeated_keys(split: str, samples: Sequence[Sample]) -> Iterator[Finding]:
    first: dict[str, Sample] = {}
    for sample in samples:
        other = first.setdefault(sample.key, sample)
        if other is sample:
            continue
        same_file = sample.place and other.place and sample.place.file == other.place.file
        message = f"{sample.key!r} is the key of {other.origin} too; rename one"
        yield Finding.of(split, sample, "key", message, "error" if same_file else "warning")


def _repeated_audio(known: Sequence[Known]) -> Iterator[Finding]:
    first: dict[tuple[object, ...], Known] = {}
    for entry in known:
        if not entry.contents:
            continue
        asked = tuple(turn.text for turn in entry.sample.turns if turn.role != "assistant")
        dialogue = entry.sample.dialogue
        view = (dialogue.main, dialogue.piece) if dialogue else None
        other = first.setdefault((entry.contents, asked, view, entry.sample.task, entry.sample.language), entry)
        if other is entry:
            continue
        same = _said(entry.sample) == _said(other.sample)
        message = (
            f"the same audio and text as {other.sample.origin}; it counts twice"
            if same
            else f"the same audio as {other.sample.origin} with another text; one of them is wrong"
        )
        yield Finding.of(entry.split, entry.sample, "audio" if same else "text", message, "warning")


def _said(sample: Sample) -> object:
    return sample.dialogue.words if sample.dialogue else sample.answer


def _leaks(known: Sequence[Known]) -> Iterator[Finding]:
    """Reported for the split that is named first, so that leaving samples out leaves the others' numbers alone."""
    homes: dict[str, Known] = {}
    for entry in reversed(known):
        for content in entry.contents:
            other = homes.setdefault(content, entry)
            if other.split != entry.split:
                message = f"the same audio is in {other.split} ({other.sample.origin}); keep it in one of them"
                yield Finding.of(entry.split, entry.sample, "audio", message, "error")


def _misfits(known: Sequence[Known]) -> Iterator[Finding]:
    spoken = [entry for entry in known if _answers_its_audio(entry)]
    rates = np.array([letters(entry.sample.answer) / entry.seconds for entry in spoken])
    outliers = _outliers(rates)
    for entry, rate, is_outlier in zip(spoken, rates.tolist(), outliers, strict=True):
        what = f"{rate:.1f} letters a second in {entry.seconds:.1f} s"
        if rate > MOST_LETTERS:
            message = f"{what} is faster than anyone speaks; is the audio cut off, or the text another one's?"
        elif rate < FEWEST_LETTERS and entry.seconds >= SHORTEST_FOR_FEWEST:
            message = f"{what} leaves most of the audio without text; is the text complete?"
        elif is_outlier:
            message = f"{what}, the others have about {np.median(rates):.1f}; do audio and text belong together?"
        else:
            continue
        yield Finding.of(entry.split, entry.sample, "text", message, "warning")


def _answers_its_audio(entry: Known) -> bool:
    answers = [turn for turn in entry.sample.turns if turn.role == "assistant"]
    return entry.seconds > 0 and len(answers) == 1 and len(entry.contents) == 1 and bool(entry.sample.answer.strip())


def letters(text: str) -> int:
    """Letters and digits; an ideogram or a syllable sign takes about as long as three letters."""
    return sum(map(_weight, text))


@cache
def _weight(character: str) -> int:
    if not character.isalnum():
        return 0
    return IDEOGRAM_LETTERS if ord(character) >= 0x2E80 else 1


def _outliers(rates: np.ndarray) -> list[bool]:
    if len(rates) < FEWEST_FOR_OUTLIERS:
        return [False] * len(rates)
    logs = np.log(np.maximum(rates, 1e-3))
    distance = np.abs(logs - np.median(logs))
    deviation = 1.4826 * float(np.median(distance))
    limit = max(OUTLIER_DEVIATIONS * deviation, math.log(OUTLIER_FACTOR))
    return [bool(far) for far in distance > limit]


def _wordless(known: Sequence[Known]) -> Iterator[Finding]:
    """Dialogues in which a speaker has no words: the one that a model plays, or one who has words in others."""
    dialogues = [(entry, entry.sample.dialogue) for entry in known if entry.sample.dialogue]
    for speaker in SPEAKERS:
        has_words_somewhere = any(speaker not in entry.wordless for entry, _ in dialogues)
        for entry, dialogue in dialogues:
            if speaker in entry.wordless and (has_words_somewhere or dialogue.main == speaker):
                message = f"{speaker} has no words; is the list complete?"
                yield Finding.of(entry.split, entry.sample, "words", message, "warning")
