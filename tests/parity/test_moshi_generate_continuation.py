"""Greedy continuation of both streams, against the recorded run of nu-dialogue's generator."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.parity.conftest import cases
from tests.parity.moshi_case import network
from tests.parity.tensors import read_json, read_tensors
from voxtune.families.moshi.delays import undelayed
from voxtune.families.moshi.frames import FrameSampling, continue_rows
from voxtune.parts.sampling import Noise, Sampling

EACH = pytest.mark.parametrize("case", cases("moshi", "generate_continuation"), ids=lambda case: case.name)


@EACH
def test_tokens(case: Path) -> None:
    config, outputs = read_json(case / "config.json"), read_tensors(case, "outputs")
    model = network(case, config["moshi_lm_kwargs"])
    prompt = read_tensors(case, "inputs")["prompt_tokens"]
    settings = config["sampling"]
    sampling = Sampling(settings["temp"] if settings["use_sampling"] else 0, settings["top_k"], settings["top_p"])
    assert sampling.temperature == 0, "only greedy runs can be compared"
    noise = Noise(range(len(prompt)), prompt.device)
    rows = continue_rows(model, prompt, config["generation_length"], FrameSampling(sampling, sampling), noise)
    assert torch.equal(rows, outputs["generated_tokens"])
    assert torch.equal(undelayed(rows, model.config.delays), outputs["undelayed_tokens"])
