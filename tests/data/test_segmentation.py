"""Long recordings are cut at pauses, and nothing that is said is lost."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from voxtune.data.segmentation import loudness, segment

RATE = 16000


def utterance(seconds: float, seed: int) -> Tensor:
    """Something like speech: noise whose loudness goes up and down four times a second."""
    generator = torch.Generator().manual_seed(seed)
    time = torch.arange(round(seconds * RATE)) / RATE
    syllables = 0.55 - 0.45 * torch.cos(2 * torch.pi * 4 * time)
    return torch.randn(len(time), generator=generator) * 0.1 * syllables


def recording(utterances: list[float], pauses: list[float], noise: float) -> tuple[Tensor, list[tuple[float, float]]]:
    """Utterances with a pause after each, in noise; and when each is spoken."""
    pieces, spoken, now = [], [], 0.0
    for seed, (seconds, pause) in enumerate(zip(utterances, pauses, strict=True)):
        pieces += [utterance(seconds, seed), torch.zeros(round(pause * RATE))]
        spoken.append((now, now + seconds))
        now += seconds + pause
    waveform = torch.cat(pieces)
    return waveform + noise * torch.randn(len(waveform), generator=torch.Generator().manual_seed(99)), spoken


@pytest.mark.parametrize("noise", [0.0, 1e-4, 3e-3, 0.03])
@pytest.mark.parametrize("seed", range(3))
def test_cuts_lie_in_pauses(noise: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    lengths = (torch.rand(40, generator=generator) * 6 + 1).tolist()
    pauses = (torch.rand(40, generator=generator) * 0.5 + 0.4).tolist()
    waveform, spoken = recording(lengths, pauses, noise)
    stretches = segment(waveform, RATE)
    assert len(stretches) > 4
    assert all(0 < end - start <= 30 for start, end in stretches)
    assert all(end <= start for (_, end), (start, _) in pairwise(stretches))
    for start, end in spoken:
        assert any(first <= start + 0.05 and end - 0.05 <= last for first, last in stretches), (start, end)


@pytest.mark.parametrize("noise", [0.0, 1e-4, 3e-3])
def test_long_silence_is_left_out_with_a_margin(noise: float) -> None:
    waveform, _ = recording([5.0, 5.0, 5.0], [20.0, 2.0, 10.0], noise)
    stretches = segment(waveform, RATE)
    assert stretches == [pytest.approx((0, 5.5), abs=0.1), pytest.approx((24.5, 37.5), abs=0.1)]


def test_a_quiet_speaker_is_kept() -> None:
    waveform, spoken = recording([8.0, 8.0, 8.0, 8.0], [4.0, 4.0, 4.0, 4.0], 1e-4)
    quiet = slice(round(spoken[1][0] * RATE), round(spoken[1][1] * RATE))
    waveform[quiet] *= 0.03
    assert any(first <= spoken[1][0] and spoken[1][1] <= last for first, last in segment(waveform, RATE))


@pytest.mark.parametrize("level", [0.0, 0.05])
def test_without_any_pause_everything_is_kept(level: float) -> None:
    """Silence or noise alone: no moment is better than another, and nothing is judged away."""
    waveform = torch.randn(100 * RATE, generator=torch.Generator().manual_seed(0)) * level
    stretches = segment(waveform, RATE)
    assert stretches[0][0] == 0
    assert stretches[-1][1] == pytest.approx(100)
    assert all(a[1] == b[0] for a, b in pairwise(stretches))
    assert all(2 < end - start <= 30 for start, end in stretches)


def test_a_short_recording_is_one_stretch() -> None:
    assert segment(utterance(29.9, 0), RATE) == [(0.0, pytest.approx(29.9))]
    assert segment(torch.empty(0), RATE) == []


@pytest.mark.parametrize("longest", [2.0, 10.0, 30.0])
@pytest.mark.parametrize("rate", [8000, 11025, 16000, 24000])
def test_any_rate_and_limit(rate: int, longest: float) -> None:
    waveform = utterance(47.013, 1)
    stretches = segment(waveform, rate, longest)
    assert all(end - start <= longest + 1e-9 for start, end in stretches)
    assert stretches[-1][1] == pytest.approx(len(waveform) / rate)


def test_loudness_is_in_decibels_of_full_scale() -> None:
    tone = torch.sin(2 * torch.pi * 400 * torch.arange(RATE) / RATE)
    assert loudness(tone, RATE).mean().item() == pytest.approx(-3.01, abs=0.05)
    assert loudness(tone / 10, RATE).mean().item() == pytest.approx(-23.01, abs=0.05)
    assert loudness(torch.zeros(RATE), RATE).tolist() == [-100.0] * 50
