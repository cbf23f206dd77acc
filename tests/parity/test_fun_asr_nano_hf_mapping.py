"""The layout of transformers: names, sizes, and the same numbers from its own class."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from transformers import FunAsrNanoForConditionalGeneration

from tests.parity.conftest import cases
from tests.parity.model_case import collated_batch, network
from tests.parity.tensors import FAMILY, assert_close, read_json, read_tensors, valid
from voxtune.families.fun_asr_nano.config import config_from
from voxtune.families.fun_asr_nano.hf_layout import (
    from_hf_config,
    from_hf_state,
    hf_names,
    to_hf_config,
    to_hf_state,
)

ENCODER_TOLERANCE = 1e-5
ADAPTOR_TOLERANCE = 2e-5

each_case = pytest.mark.parametrize("case", cases(FAMILY, "hf_mapping"), ids=lambda path: path.name)


@each_case
def test_names(case: Path) -> None:
    recorded = read_json(case / "mapping.json")
    encoder = network(case.parent / "model").config.encoder
    for name, theirs in recorded["key_map"].items():
        expected = [re.sub(r" <- rows .*", "", item) for item in theirs]
        assert hf_names(name, encoder.num_blocks, encoder.tp_blocks) == expected


@each_case
def test_state_dict_both_ways(case: Path) -> None:
    recorded = read_json(case / "mapping.json")["hf_state_dict_keys"]
    model = network(case.parent / "model")
    weights = read_tensors(case.parent / "model", "weights")
    converted = to_hf_state(weights, model.config)
    assert {name: list(tensor.shape) for name, tensor in converted.items()} == recorded
    back = from_hf_state(converted, weights.keys(), model.config)
    assert back.keys() == weights.keys()
    assert all(torch.equal(back[name], tensor) for name, tensor in weights.items())


@each_case
def test_sizes_both_ways(case: Path) -> None:
    recorded = read_json(case / "mapping.json")["config"]
    config = network(case.parent / "model").config
    converted = to_hf_config(config)
    for section, values in recorded.items():
        theirs = getattr(converted, section)
        assert {key: getattr(theirs, key) for key in values} == values
    back = config_from(*from_hf_config(converted))
    assert (back.frontend, back.encoder, back.adaptor) == (config.frontend, config.encoder, config.adaptor)
    assert back.low_frame_rate
    assert back.llm.items() >= {key: value for key, value in config.llm.items() if value is not None}.items()


@each_case
@torch.no_grad()
def test_transformers_class_gives_the_same(case: Path) -> None:
    ours = network(case.parent / "model").eval()
    hf_config = to_hf_config(ours.config)
    theirs = FunAsrNanoForConditionalGeneration._from_config(hf_config, attn_implementation="sdpa").eval()
    theirs.load_state_dict(to_hf_state(ours.state_dict(), ours.config), strict=True)

    padded = read_tensors(case.parent / "prompt", "batch")
    lengths = padded["speech_lengths"][:, 0].tolist()
    mask = (torch.arange(padded["speech"].shape[1]) < padded["speech_lengths"]).long()
    batch = collated_batch(case.parent / "prompt")
    encoder_out, _ = ours.encode(batch)
    hidden = theirs.model.audio_tower(padded["speech"], input_features_mask=mask).last_hidden_state
    assert encoder_out is not None
    assert_close(encoder_out, valid(hidden, lengths), ENCODER_TOLERANCE, "encoder_out")
    adapted = torch.cat(ours.adaptor_frames(list(encoder_out.split(lengths))))
    projected = theirs.model.multi_modal_projector(hidden, input_features_mask=mask)
    assert_close(adapted, valid(projected, lengths), ADAPTOR_TOLERANCE, "adaptor_out")
