"""The language model and kyutai's loss against upstream's, sizes and options of all cases."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.parity.conftest import cases
from tests.parity.moshi_case import LOGITS, LOSSES, assert_gradients, losses, network
from tests.parity.tensors import CPU, assert_close, read_json, read_tensors
from voxtune.data.example import Batch, Example, pack
from voxtune.families.moshi.config import LmConfig, Options
from voxtune.families.moshi.delays import delayed, labels_of
from voxtune.families.moshi.tensor_names import from_ours, to_modules, to_ours, to_published
from voxtune.parts.attention import Segments

CASES = cases("moshi", "lm_forward")


def rows_as_kyutai(case: Path, config: LmConfig) -> list[Example]:
    """kyutai cuts what a delay pushes behind the end."""
    codes = read_tensors(case, "inputs")["codes"]
    rows = [delayed(one, config, config.existing_text_padding_id)[:, : codes.shape[2] + 1] for one in codes]
    return [Example(str(number), row, labels_of(row, config)) for number, row in enumerate(rows)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_states_and_logits(case: Path) -> None:
    model = network(case, read_json(case / "config.json")["lm"])
    recorded = read_tensors(case, "outputs")
    rows = rows_as_kyutai(case, model.config)
    assert torch.equal(torch.stack([row.tokens for row in rows]), recorded["delayed_codes"])
    batch: Batch = pack(rows)
    with torch.no_grad():
        hidden = model.frames(batch.tokens, Segments(batch.lengths, CPU)).unflatten(0, (len(rows), -1))[:, :-1]
        assert_close(hidden, recorded["transformer_out"], LOGITS, "transformer_out")
        assert_close(model.text_logits(hidden)[:, None], recorded["text_logits"], LOGITS, "text_logits")
        predicted = torch.stack([row.tokens[: model.config.dep_q, 1:] for row in rows], 1).flatten(1)
        states = model.depth_states(hidden.flatten(0, 1), predicted)
        logits = model.linears(states).unflatten(1, hidden.shape[:2]).transpose(0, 1)
    assert_close(logits, recorded["depformer_logits_before_undelay"], LOGITS, "depformer_logits_before_undelay")
    for step, delay in enumerate(model.config.delays[1 : 1 + model.config.dep_q]):
        frames = logits.shape[2] - delay
        heard = recorded["logits"][:, step, :frames]
        assert_close(logits[:, step, delay:], heard, LOGITS, f"logits of codebook {step}")
    labelled = torch.stack([row.labels[1 : 1 + model.config.dep_q, 1:] >= 0 for row in rows])
    assert int(labelled.sum()) == int(recorded["mask"].sum())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_losses_and_gradients(case: Path) -> None:
    model = network(case, read_json(case / "config.json")["lm"])
    batch = pack(rows_as_kyutai(case, model.config))
    for recorded in read_json(case / "outputs.json")["losses"]:
        first, padding = recorded["first_codebook_weight_multiplier"], recorded["text_padding_weight"]
        options = Options(convention="kyutai", semantic_weight=first, text_padding_weight=padding)
        total, means = losses(model, batch, options)
        assert means["text"] == pytest.approx(recorded["text_loss"], abs=LOSSES)
        assert means["audio"] == pytest.approx(recorded["audio_loss"], abs=LOSSES)
        assert float(total.detach()) == pytest.approx(recorded["total"], abs=LOSSES)
        if (first, padding) == (100, 0.5):
            total.backward()  # type: ignore[no-untyped-call]
            assert_gradients(model, read_tensors(case, "outputs"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_names_both_ways(case: Path) -> None:
    model = network(case, read_json(case / "config.json")["lm"])
    published = read_tensors(case, "weights")
    modules = to_modules(published, model.config)
    assert not any(name.endswith(("in_proj_weight", "out_proj.weight")) for name in modules)
    for again in (to_published(modules), to_published(from_ours(to_ours(modules, model.config), model.config))):
        assert again.keys() == published.keys()
        assert all(torch.equal(again[name], tensor) for name, tensor in published.items())
