"""Stereo recordings to codes as nu-dialogue/moshi-finetune makes them: resampled, cut into chunks, encoded."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from tests.parity.conftest import cases
from tests.parity.tensors import assert_close, read_json, read_tensors
from tests.parity.test_moshi_mimi import build
from voxtune.parts.resampling import resample_sinc

RESAMPLED = 1e-6


@pytest.mark.parametrize("folder", cases("moshi", "tokenize_audio"), ids=lambda folder: folder.name)
class TestTokenizeAudio:
    def test_resampling(self, folder: Path) -> None:
        config = read_json(folder / "config.json")
        inputs, outputs = read_tensors(folder, "inputs"), read_tensors(folder, "outputs")
        for rate in config["rates"]:
            ours = resample_sinc(inputs[f"stereo_{rate}"], rate, config["target_rate"])
            assert_close(ours, outputs[f"resampled_{rate}"], RESAMPLED, f"resampled_{rate}")

    def test_chunks(self, folder: Path) -> None:
        config = read_json(folder / "config.json")
        inputs, outputs = read_tensors(folder, "inputs"), read_tensors(folder, "outputs")
        codec = build(folder / config["chain_codec"].split()[0])
        assert codec.sample_rate == config["chain_codec_rate"]
        stereo = resample_sinc(inputs["chain_stereo"], config["chain_input_rate"], codec.sample_rate)
        assert_close(stereo, outputs["chain_resampled"], RESAMPLED, "chain_resampled")
        names = [match for name in outputs if (match := re.fullmatch(r"chain_codes_([AB])_chunk(\d+)", name))]
        assert names
        for name in names:
            waveform = stereo["AB".index(name[1])]
            codes = codec.encode(waveform.split(int(name[2]) * codec.sample_rate))
            assert torch.equal(torch.cat(codes, 1), outputs[name[0]]), name[0]
