"""From a published checkpoint to nu-dialogue's fine-tuning layout and back: names, values, sizes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.parity.conftest import cases
from tests.parity.tensors import assert_close, read_json, read_tensors
from voxtune.families.moshi.config import LmConfig
from voxtune.families.moshi.folder_config import lm_kwargs
from voxtune.families.moshi.tensor_names import from_ours, to_fine_tuning, to_modules, to_ours, to_published
from voxtune.families.moshi.text_embeddings import EMBEDDINGS, distribution, redrawn
from voxtune.families.moshi.user_stream import extended, split, without_user_stream

BFLOAT16 = 2**-7
"""Upstream computes mean and covariance in bfloat16; relative to the largest entry."""

each_case = pytest.mark.parametrize("case", cases("moshi", "init_and_clean"), ids=lambda path: path.name)


def state_of(case: Path, name: str, sizes: str) -> tuple[dict[str, Tensor], LmConfig]:
    """A file's tensors as ours, float32."""
    config = LmConfig.from_dict(read_json(case / "config.json")[sizes], str(case))
    return to_ours(to_modules(read_tensors(case, name), config), config, torch.float32), config


def published(state: dict[str, Tensor], config: LmConfig) -> dict[str, Tensor]:
    return to_published(from_ours(state, config))


def assert_equal(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    assert not [name for name, tensor in theirs.items() if not torch.equal(ours[name], tensor)]


def assert_map(ours: dict[str, Tensor], source: dict[str, Tensor], key_map: dict[str, dict[str, str]]) -> None:
    """Every tensor is the one that the recorded map names, or two of it, or its first half."""
    assert ours.keys() == key_map.keys()
    for name, origin in key_map.items():
        tensor = source[origin["source"]].float()
        rows = {"all": tensor, "all, stacked twice": torch.cat([tensor] * 2), "first half": tensor.chunk(2)[0]}
        assert torch.equal(ours[name], rows[origin["rows"]]), name


def assert_shapes(ours: dict[str, Tensor], shapes: dict[str, Any]) -> None:
    assert {name: list(tensor.shape) for name, tensor in ours.items()} == {name: s for name, (s, _) in shapes.items()}


def assert_sizes(config: LmConfig, kwargs: dict[str, Any]) -> None:
    ours = lm_kwargs(config)
    assert {key: list(value) if isinstance(value, tuple) else value for key, value in ours.items()} == kwargs


@each_case
def test_extension_for_the_users_stream(case: Path) -> None:
    both = to_fine_tuning(published(*extended(*state_of(case, "published", "published_lm_kwargs"))))
    assert_equal(both, read_tensors(case, "init_both_streams"))
    maps = read_json(case / "key_map.json")
    assert_map(both, read_tensors(case, "published"), maps["init_both_streams from published"])


@each_case
def test_main_stream_only(case: Path) -> None:
    ours = to_fine_tuning(published(*state_of(case, "published", "published_lm_kwargs")))
    maps, shapes = read_json(case / "key_map.json"), read_json(case / "shapes.json")
    assert_map(ours, read_tensors(case, "published"), maps["init_main_only from published"])
    assert_shapes(ours, shapes["init_main_only"])


@each_case
def test_cleaning(case: Path) -> None:
    state, config = state_of(case, "finetuned", "ft")
    kept, removed = split(from_ours(state, config), config)
    cleaned = to_published(kept)
    assert_equal(cleaned, read_tensors(case, "cleaned"))
    maps, shapes = read_json(case / "key_map.json"), read_json(case / "shapes.json")
    assert_map(cleaned, read_tensors(case, "finetuned"), maps["cleaned from finetuned"])
    assert_equal(to_fine_tuning(to_published(kept | removed)), read_tensors(case, "finetuned"))
    whole = published(state, config)
    assert_map(whole, read_tensors(case, "finetuned"), maps["cleaned_keep_user from finetuned"])
    assert_shapes(whole, shapes["cleaned_keep_user"])


@each_case
def test_sizes(case: Path) -> None:
    kwargs = read_json(case / "config.json")
    source = LmConfig.from_dict(kwargs["published_lm_kwargs"], str(case))
    assert_sizes(source, kwargs["init_main_only"])
    both = extended(*state_of(case, "published", "published_lm_kwargs"))[1]
    assert_sizes(both, kwargs["init_both_streams"])
    assert_sizes(without_user_stream(both), kwargs["cleaned"])


@each_case
def test_new_text_embeddings(case: Path) -> None:
    state, config = state_of(case, "published", "published_lm_kwargs")
    recorded = read_tensors(case, "init_text_embeddings")
    retained = [token for token in (0, 3) if token < config.text_card]
    new, _ = redrawn(state, config, config.text_card, retained)
    for name in EMBEDDINGS:
        mean, factor = distribution(state[name])
        for ours, theirs in ((mean, recorded[f"{name}.mean"]), (factor.T @ factor, recorded[f"{name}.covariance"])):
            assert_close(ours.float(), theirs, BFLOAT16 * theirs.abs().max().item(), name)
        kept = [*retained, config.text_card]
        assert torch.equal(new[name][kept], state[name][kept])
        drawn = [row for row in range(len(new[name])) if row not in kept]
        deviation = (new[name] - mean.float())[drawn].abs().max().item()
        assert 0 < deviation < 6 * factor.norm(dim=0).max().item()
    untouched = state.keys() - set(EMBEDDINGS)
    assert all(torch.equal(new[name], state[name]) for name in untouched)
