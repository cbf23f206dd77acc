"""Who speaks when, on tones whose times are known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from voxtune.demo.moshi.turns import Utterance, turn_taking, utterances

RATE = 24000
FRAME = 1920


def tones(a: list[tuple[int, int]], b: list[tuple[int, int]], frames: int = 50, level: float = 0.3) -> Tensor:
    """A tone in the frames [first, end) of each channel."""
    waveform = torch.zeros(2, frames * FRAME)
    tone = level * torch.sin(2 * math.pi * 200 / RATE * torch.arange(frames * FRAME))
    for channel, spans in enumerate((a, b)):
        for first, end in spans:
            waveform[channel, first * FRAME : end * FRAME] = tone[first * FRAME : end * FRAME]
    return waveform


def test_utterances_are_where_a_channel_is_loud() -> None:
    found = utterances(tones([(3, 10), (30, 40)], [(12, 25)]), RATE)
    assert found == [Utterance("A", 3, 10), Utterance("B", 12, 25), Utterance("A", 30, 40)]


def test_short_pauses_are_within_an_utterance_and_longer_ones_end_it() -> None:
    assert utterances(tones([(3, 10), (12, 20)], []), RATE) == [Utterance("A", 3, 20)]
    assert utterances(tones([(3, 10), (13, 20)], []), RATE) == [Utterance("A", 3, 10), Utterance("A", 13, 20)]


def test_quiet_noise_is_silence() -> None:
    assert utterances(tones([(3, 10)], [(12, 25)], level=0.01), RATE) == []


def test_a_last_frame_may_be_cut_off() -> None:
    waveform = tones([(45, 50)], [])[:, : 49 * FRAME + 960]
    assert utterances(waveform, RATE) == [Utterance("A", 45, 50)]


def test_shares_turns_gaps_and_overlaps() -> None:
    dialogue = [Utterance("A", 0, 10), Utterance("B", 15, 25), Utterance("A", 20, 30)]
    found = turn_taking([dialogue], [40])
    assert (found.only_a, found.only_b, found.both, found.nobody) == (15 / 40, 5 / 40, 5 / 40, 15 / 40)
    assert found.turns == 3
    assert found.gap_seconds == pytest.approx(5 * 0.08)
    assert found.overlap_seconds == pytest.approx(5 * 0.08)


def test_two_utterances_of_one_speaker_are_one_turn() -> None:
    dialogue = [Utterance("A", 0, 10), Utterance("A", 15, 20), Utterance("B", 24, 30)]
    assert turn_taking([dialogue, []], [30, 10]).turns == 1  # two in the first dialogue, none in the second
    assert turn_taking([dialogue, []], [30, 10]).gap_seconds == pytest.approx(4 * 0.08)


def test_silence_and_nothing_at_all() -> None:
    silent = turn_taking([[]], [10])
    assert (silent.nobody, silent.turns, silent.gap_seconds, silent.overlap_seconds) == (1.0, 0, 0, 0)
    assert turn_taking([], []).nobody == 0
