"""The front end: frame counts, edges, normalisation files."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from voxtune.errors import CheckpointError
from voxtune.parts.kaldi_frontend import Cmvn, FrontendConfig, features, log_mel, stack_frames

CONFIG = FrontendConfig()


@pytest.mark.parametrize("samples", [1, 80, 399, 400, 401, 559, 560, 1600, 16000, 16161])
def test_counts_are_known_ahead(samples: int) -> None:
    waveform = torch.randn(samples, generator=torch.Generator().manual_seed(0)) * 0.1
    frames = log_mel(waveform, CONFIG)
    assert frames.shape == (CONFIG.log_mel_frames(samples), 80)
    assert features(waveform, CONFIG).shape == (CONFIG.rows(samples), CONFIG.width)
    assert torch.isfinite(frames).all()


def test_a_tone_is_loudest_in_its_bin() -> None:
    time = torch.arange(16000) / 16000
    frames = log_mel(torch.sin(2 * math.pi * 1000 * time) * 0.5, CONFIG)
    mel = [1127 * math.log(1 + f / 700) for f in (20, 1000, 8000)]
    expected = (mel[1] - mel[0]) / (mel[2] - mel[0]) * 81 - 1
    assert abs(frames.mean(0).argmax().item() - expected) <= 1


def test_scaling_shifts_the_logarithm() -> None:
    waveform = torch.randn(1600, generator=torch.Generator().manual_seed(0)) * 0.1
    shift = log_mel(waveform * 2, CONFIG) - log_mel(waveform, CONFIG)
    assert torch.allclose(shift, torch.tensor(2 * math.log(2)), atol=1e-3)


def test_stacking_repeats_the_edges() -> None:
    rows = stack_frames(torch.arange(8.0)[:, None], CONFIG)
    assert rows.tolist() == [[0, 0, 0, 0, 1, 2, 3], [3, 4, 5, 6, 7, 7, 7]]


def test_normalisation(tmp_path: Path) -> None:
    file = tmp_path / "am.mvn"
    file.write_text(
        "<Nnet>\n<AddShift> 2 2\n<LearnRateCoef> 0 [ -1 -2 ]\n<Rescale> 2 2\n<LearnRateCoef> 0 [ 10 100 ]\n</Nnet>\n"
    )
    assert Cmvn.read(file)(torch.tensor([[1.0, 3.0]])).tolist() == [[0, 100]]


@pytest.mark.parametrize("text", ["", "<AddShift> <LearnRateCoef> 0 [ 1 ]", "<AddShift> [ 1 2 ] <Rescale> [ 1 ]"])
def test_a_damaged_normalisation_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "am.mvn"
    file.write_text(text)
    with pytest.raises(CheckpointError, match=r"am\.mvn"):
        Cmvn.read(file)
