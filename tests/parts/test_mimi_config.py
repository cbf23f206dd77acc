"""Mimi's configuration file and the names of its weights."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from voxtune.errors import CheckpointError
from voxtune.parts.mimi import PUBLISHED, Mimi, MimiConfig
from voxtune.parts.mimi.weights import published_names


def raw() -> dict[str, Any]:
    return json.loads(json.dumps(PUBLISHED.to_dict()))


def test_json_and_back() -> None:
    assert MimiConfig.from_dict(raw()) == PUBLISHED
    without = {key: value for key, value in raw().items() if key != "num_codebooks"}
    assert MimiConfig.from_dict(without) == PUBLISHED


def test_published_sizes() -> None:
    with torch.device("meta"):
        codec = Mimi(PUBLISHED)
    assert (codec.sample_rate, codec.frame_size, codec.frame_rate, codec.codebooks) == (24000, 1920, 12.5, 8)
    state = codec.state_dict()
    assert len(state) == 318
    assert round(sum(p.numel() for p in codec.parameters()) / 1e6, 1) == 79.3
    assert state["downsample.conv.conv.conv.weight"].shape == (512, 512, 4)
    assert state["upsample.convtr.convtr.convtr.weight"].shape == (512, 1, 4)
    assert state["encoder.model.14.conv.conv.weight"].shape == (512, 1024, 3)
    assert state["decoder.model.11.convtr.convtr.weight"].shape == (128, 64, 8)
    assert state["quantizer.rvq_rest.vq.layers.30._codebook.embedding_sum"].shape == (2048, 256)


@pytest.mark.parametrize(
    ("section", "key", "value", "message"),
    [
        (None, "resample", 1, "configuration: resample: Unexpected keyword"),
        ("seanet", "n_filter", 1, r"seanet\.n_filter: Unexpected keyword"),
        ("transformer", "context", None, r"transformer\.context: Field required"),
        ("seanet", "norm", "weight_norm", "seanet.norm is 'weight_norm'; only 'none'"),
        ("transformer", "gating", "silu", "transformer.gating is 'silu'"),
        ("quantizer", "input_dimension", 256, "quantizer.input_dimension is 256; only 512"),
        (None, "frame_rate", 13.0, "sample_rate 24000 is not frame_rate 13.0"),
        ("seanet", "ratios", [8, 6, 0], r"seanet\.ratios\.2: Input should be greater than 0"),
        ("quantizer", "bins", "many", r"quantizer\.bins: Input should be a valid integer"),
        ("transformer", "num_heads", 7, "512; 7 heads need a multiple of 14"),
        ("seanet", "compress", 65, "n_filters is 64"),
        (None, "num_codebooks", 33, "num_codebooks is 33; 1 to 32"),
        (None, "seanet", 3, "seanet: Input should be a dictionary"),
    ],
)
def test_refuses(section: str | None, key: str, value: object, message: str) -> None:
    fields = raw()
    place = fields[section] if section else fields
    if value is None:
        del place[key]
    else:
        place[key] = value
    with pytest.raises(CheckpointError, match=message):
        MimiConfig.from_dict(fields)


def test_names_in_memory_and_older_names() -> None:
    one = torch.ones(1)
    layer, codebook = "encoder_transformer.transformer.layers.0", "quantizer.rvq_rest.vq.layers.3._codebook"
    older = {
        f"{layer}.self_attn.in_projs.0.weight": one,
        f"{layer}.self_attn.out_projs.0.weight": one,
        f"{codebook}.inited": one,
        f"{codebook}.cluster_size": one,
        f"{codebook}.embed_avg": one,
        f"{layer}.linear1.weight": one,
    }
    assert list(published_names(older)) == [
        f"{layer}.self_attn.in_proj_weight",
        f"{layer}.self_attn.out_proj.weight",
        f"{codebook}._initialized",
        f"{codebook}.cluster_usage",
        f"{codebook}.embedding_sum",
        f"{layer}.linear1.weight",
    ]
    assert published_names({f"{codebook}.embed_sum": one}) == {f"{codebook}.embedding_sum": one}
    published = published_names(older)
    assert published_names(published) == published
