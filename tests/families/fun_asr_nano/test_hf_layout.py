"""Folders in the layout of transformers load as upstream's do."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import FunAsrNanoForConditionalGeneration

from tests.helpers.fun_asr_nano_folder import random_state, write_folder, write_json
from voxtune.errors import CheckpointError
from voxtune.families.fun_asr_nano.checkpoint import load_folder
from voxtune.families.fun_asr_nano.hf_layout import from_hf_state, hf_names, to_hf_config, to_hf_state
from voxtune.families.fun_asr_nano.upstream_folder import write_folder as export


@pytest.fixture
def hf_folder(tmp_path: Path) -> Path:
    """What transformers itself saves of the random model."""
    ours = load_folder(write_folder(tmp_path / "upstream", ctc=False))
    theirs = FunAsrNanoForConditionalGeneration._from_config(to_hf_config(ours.config))
    theirs.load_state_dict(to_hf_state(ours.state_dict(), ours.config))
    theirs.save_pretrained(tmp_path / "hf")
    for file in (tmp_path / "upstream/Qwen3-0.6B").glob("tokenizer*"):
        shutil.copyfile(file, tmp_path / "hf" / file.name)
    return tmp_path / "hf"


def test_loads(hf_folder: Path, tmp_path: Path) -> None:
    model, ours = load_folder(hf_folder), load_folder(tmp_path / "upstream")
    assert model.state_dict().keys() == ours.state_dict().keys()
    assert all(torch.equal(t, model.state_dict()[name]) for name, t in ours.state_dict().items())
    assert model.config.encoder == ours.config.encoder and model.config.adaptor == ours.config.adaptor
    tokens = torch.arange(20)[None]
    assert torch.equal(model.llm(tokens).logits, ours.llm(tokens).logits)


def test_is_exported_in_upstreams_layout(hf_folder: Path, tmp_path: Path) -> None:
    model = load_folder(hf_folder)
    export(model, tmp_path / "out")
    again = load_folder(tmp_path / "out")
    assert all(torch.equal(t, model.state_dict()[name]) for name, t in again.state_dict().items())
    assert json.loads((tmp_path / "out/Qwen3-0.6B/config.json").read_text())["model_type"] == "qwen3"


def test_names_what_is_missing_or_left_over(hf_folder: Path) -> None:
    state = load_file(hf_folder / "model.safetensors")
    state["model.audio_tower.extra"] = state.pop("model.audio_tower.layers.1.self_attn.k_proj.weight")
    save_file(state, hf_folder / "model.safetensors")
    with pytest.raises(CheckpointError) as caught:
        load_folder(hf_folder)
    assert "missing: audio_encoder.encoders.0.self_attn.linear_q_k_v.weight [48, 16]" in str(caught.value)
    assert "model.audio_tower.extra [16, 16]" in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        {"audio_config": {"hidden_size": "wide"}},
        {"adaptor_config": {"hidden_size": 7}},
        {"text_config": {"head_dim": []}},
    ],
)
def test_unusable_config(hf_folder: Path, change: dict[str, Any]) -> None:
    config = json.loads((hf_folder / "config.json").read_text())
    for section, values in change.items():
        config[section] |= values
    write_json(hf_folder / "config.json", config)
    with pytest.raises(CheckpointError, match=r"config\.json"):
        load_folder(hf_folder)


def test_without_weights(hf_folder: Path) -> None:
    (hf_folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="no weights"):
        load_folder(hf_folder)


def test_ctc_has_no_counterpart(tmp_path: Path) -> None:
    state = random_state()
    config = load_folder(write_folder(tmp_path / "m")).config
    back = from_hf_state(to_hf_state(state, config), state, config)
    assert {name for name in state if name not in back} == {n for n in state if n.startswith(("ctc.", "ctc_decoder."))}


def test_unknown_name() -> None:
    with pytest.raises(ValueError, match=r"audio_encoder\.other is no tensor"):
        hf_names("audio_encoder.other", 3, 1)
