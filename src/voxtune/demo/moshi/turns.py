"""Who speaks when: from the loudness of both channels, and what that says of the taking of turns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from voxtune.data.sample import SPEAKERS

FRAME_RATE = 12.5
"""Of the codec: a frame lasts 80 ms."""
LOUD_DB = -40.0
"""Of full scale: a frame louder than this, root mean square, is speech."""
PAUSE_FRAMES = 2
"""A silence of so many frames at most, 160 ms, does not end what somebody says: closures of plosives are that long."""


@dataclass(frozen=True)
class Utterance:
    """What one speaker says without a pause: frames [first, end)."""

    speaker: Literal["A", "B"]
    first: int
    end: int


@dataclass(frozen=True)
class TurnTaking:
    """Of some stretches of dialogue: shares of the frames in which only A, only B, both or nobody speaks; turns a
    dialogue (what one says until the other begins is one); the mean silence in seconds between two speakers (0 without
    one), and the mean seconds a dialogue in which both speak."""

    only_a: float
    only_b: float
    both: float
    nobody: float
    turns: float
    gap_seconds: float
    overlap_seconds: float


def utterances(waveform: Tensor, sample_rate: int) -> list[Utterance]:
    """Both speakers' utterances by their beginning. waveform: [2, samples], left A and right B."""
    size = round(sample_rate / FRAME_RATE)
    framed = F.pad(waveform, (0, -waveform.shape[1] % size)).unflatten(1, (-1, size))
    loud = framed.square().mean(2).sqrt() > 10 ** (LOUD_DB / 20)
    found = [Utterance(SPEAKERS[side], first, end) for side in (0, 1) for first, end in _joined(loud[side].tolist())]
    return sorted(found, key=lambda utterance: utterance.first)


def turn_taking(dialogues: Sequence[Sequence[Utterance]], frames: Sequence[int]) -> TurnTaking:
    """Means over stretches of dialogue, each with its number of frames."""
    counts = {"A": 0, "B": 0, "AB": 0, "": 0}
    turns = 0
    gaps: list[int] = []
    for found, length in zip(dialogues, frames, strict=True):
        for frame in range(length):
            speaking = {each.speaker for each in found if each.first <= frame < each.end}
            counts["".join(sorted(speaking))] += 1
        changes = [(before, after) for before, after in pairwise(found) if before.speaker != after.speaker]
        turns += bool(found) + len(changes)
        gaps += [after.first - before.end for before, after in changes if after.first > before.end]
    total = max(1, sum(frames))
    number = max(1, len(frames))
    return TurnTaking(
        only_a=counts["A"] / total,
        only_b=counts["B"] / total,
        both=counts["AB"] / total,
        nobody=counts[""] / total,
        turns=turns / number,
        gap_seconds=sum(gaps) / max(1, len(gaps)) / FRAME_RATE,
        overlap_seconds=counts["AB"] / number / FRAME_RATE,
    )


def _joined(loud: Sequence[bool]) -> list[tuple[int, int]]:
    """Stretches of loud frames, joined over short pauses."""
    spans: list[tuple[int, int]] = []
    frame = 0
    for speaking, run in groupby(loud):
        length = len(list(run))
        if speaking and spans and frame - spans[-1][1] <= PAUSE_FRAMES:
            spans[-1] = (spans[-1][0], frame + length)
        elif speaking:
            spans.append((frame, frame + length))
        frame += length
    return spans
