"""Candidates, weights and tokens, given the noise, against the recorded runs of kyutai's sample_token."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.parity.conftest import cases
from voxtune.parts.sampling import Sampling, sample, weighted

SETTINGS = [
    pytest.param(folder, number, setting, id=f"{folder.name}-{number}")
    for folder in cases("moshi", "sampling")
    for number, setting in enumerate(json.loads((folder / "config.json").read_text(encoding="utf-8"))["settings"])
]


@pytest.mark.parametrize(("folder", "number", "setting"), SETTINGS)
def test_sampling(folder: Path, number: int, setting: dict[str, Any]) -> None:
    logits = load_file(folder / "inputs.safetensors")["logits"].flatten(0, -2)
    recorded = load_file(folder / "outputs.safetensors")
    sampling = Sampling(setting["temp"], setting["top_k"], setting["top_p"])
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
