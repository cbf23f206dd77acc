"""Windowed-sinc resampling."""

from __future__ import annotations

import math

import pytest
import torch

from voxtune.parts.resampling import resample_sinc


def tone(rate: int, hertz: float, seconds: float = 0.5) -> torch.Tensor:
    return torch.sin(2 * math.pi * hertz * torch.arange(round(rate * seconds)) / rate)


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000])
def test_a_tone_stays_a_tone(rate: int) -> None:
    resampled = resample_sinc(tone(rate, 440), rate, 16000)
    expected = tone(16000, 440)[: len(resampled)]
    assert len(resampled) == math.ceil(round(rate * 0.5) * 16000 / rate)
    inner = slice(200, len(expected) - 200)
    assert torch.allclose(resampled[inner], expected[inner], atol=5e-3)


def test_what_the_target_cannot_hold_is_removed() -> None:
    assert resample_sinc(tone(48000, 12000), 48000, 16000)[200:-200].abs().max() < 0.02


def test_the_same_rate_is_the_same_waveform() -> None:
    waveform = tone(16000, 100)
    assert resample_sinc(waveform, 16000, 16000) is waveform


def test_channels_are_resampled_alone() -> None:
    both = torch.stack([tone(8000, 300), tone(8000, 700)])
    resampled = resample_sinc(both, 8000, 16000)
    assert torch.allclose(resampled[1], resample_sinc(both[1], 8000, 16000), atol=1e-6)
