"""Upstream's batch sampler, every variant and every rank."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.upstream_batching import source_length, upstream_batches
from tests.parity.conftest import cases
from tests.parity.tensors import FAMILY, read_json

VARIANTS = [
    pytest.param(folder, variant, id=f"{folder.name}-{variant['name']}")
    for folder in cases(FAMILY, "batching")
    for variant in read_json(folder / "outputs.json")
]


def ours(folder: Path, variant: dict[str, Any], rank: int) -> list[list[int]]:
    pairs = read_json(folder / "inputs.json")["speech_length_text_length"]
    keywords = dict(variant["sampler_kwargs"])
    keywords.pop("num_workers", None)
    if not keywords.pop("is_training", True):
        keywords["shuffle"] = False
    return upstream_batches(
        [source_length(*pair) for pair in pairs],
        **keywords,
        epoch=variant["epoch"],
        rank=rank,
        world=variant["world_size"],
    )


@pytest.mark.parametrize(("folder", "variant"), VARIANTS)
def test_batches(folder: Path, variant: dict[str, Any]) -> None:
    for rank, recorded in variant["ranks"].items():
        assert ours(folder, variant, int(rank)) == recorded["batches"], f"rank {rank}"


@pytest.mark.parametrize(("folder", "variant"), VARIANTS)
def test_dropped(folder: Path, variant: dict[str, Any]) -> None:
    """The samples that are in no batch of any rank."""
    seen = {index for rank in variant["ranks"] for batch in ours(folder, variant, int(rank)) for index in batch}
    total = len(read_json(folder / "inputs.json")["speech_length_text_length"])
    assert sorted(set(range(total)) - seen) == sorted(variant["dropped"])
