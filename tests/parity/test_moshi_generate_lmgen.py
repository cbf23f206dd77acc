"""Greedy duplex steps, against the recorded run of kyutai's LMGen."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.parity.conftest import cases
from tests.parity.moshi_case import network
from tests.parity.tensors import read_json, read_tensors
from voxtune.families.moshi.duplex import LiveRows
from voxtune.families.moshi.frames import FrameSampling
from voxtune.parts.sampling import Sampling

EACH = pytest.mark.parametrize("case", cases("moshi", "generate_lmgen"), ids=lambda case: case.name)
GREEDY = FrameSampling(Sampling(0), Sampling(0))


@EACH
def test_tokens(case: Path) -> None:
    config, recorded = read_json(case / "config.json"), read_tensors(case, "outputs")
    model = network(case, config["lm"])
    heard = read_tensors(case, "inputs")["user_codes"]
    rows = LiveRows(model, GREEDY, range(len(heard)))
    for _ in range(2):  # a conversation, and a new one after it
        drawn = []
        found = []
        for codes in heard.unbind(2):
            frame = rows.step(codes)
            drawn.append(rows.said[:, :, -1])
            found.append(frame)
        assert [frame is None for frame in found].count(True) == config["steps_that_return_none"]
        assert torch.equal(torch.stack([frame for frame in found if frame is not None], 2), recorded["tokens"])
        assert torch.equal(torch.stack(drawn, 2)[:, 0], recorded["raw_text"])
        assert torch.equal(torch.stack(drawn, 2)[:, 1:], recorded["raw_audio"])
        rows.reset()
