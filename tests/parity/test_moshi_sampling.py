"""Candidates, weights and tokens, given the noise, against the recorded runs of kyutai's sample_token."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.parity.conftest import cases
from tests.parity.tensors import read_json, read_tensors
from voxtune.parts.sampling import Sampling, sample, weighted

CONFIGS = {folder: read_json(folder / "config.json") for folder in cases("moshi", "sampling")}
SETTINGS = [
    pytest.param(folder, number, setting, config["use_sampling"], id=f"{folder.name}-{number}")
    for folder, config in CONFIGS.items()
    for number, setting in enumerate(config["settings"])
]


@pytest.mark.parametrize(("folder", "number", "setting", "random"), SETTINGS)
def test_sampling(folder: Path, number: int, setting: dict[str, Any], random: bool) -> None:
    logits = read_tensors(folder, "inputs")["logits"].flatten(0, -2)
    recorded = read_tensors(folder, "outputs")
    sampling = Sampling(setting["temp"] if random else 0, setting["top_k"], setting["top_p"])
    count = sampling.candidates(logits.shape[-1])
    if f"noise_{number}" not in recorded:
        assert count == 0
        noise = torch.empty(len(logits), 0)
    else:
        noise = recorded[f"noise_{number}"]
        assert noise.shape == (len(logits), count)
        tokens, weights = weighted(logits, sampling)
        if tokens is None:
            tokens = torch.arange(count).expand(len(logits), -1)
        torch.testing.assert_close(weights, recorded[f"weights_{number}"].flatten(0, -2), atol=1e-6, rtol=0)
        drawable = weights > 0  # the order among tokens that cannot be drawn does not matter
        assert torch.equal(tokens[drawable], recorded[f"candidates_{number}"].flatten(0, -2)[drawable])
    assert torch.equal(sample(logits, sampling, noise), recorded[f"token_{number}"].flatten())
