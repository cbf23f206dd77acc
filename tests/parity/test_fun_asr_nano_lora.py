"""LoRA beside the language model: upstream's key names, loss, gradients, and folding."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from tests.parity.conftest import cases
from tests.parity.model_case import collated_batch, network
from tests.parity.tensors import (
    FAMILY,
    assert_close,
    assert_gradient,
    largest_gradient,
    read_json,
    read_tensors,
    segments,
    valid,
)
from voxtune.families import find
from voxtune.families.fun_asr_nano.checkpoint import upstream_name
from voxtune.families.fun_asr_nano.model import FunAsrNano
from voxtune.parts.lora import merge_lora
from voxtune.parts.packed_llm import packed_hidden_states
from voxtune.recipe import LoraSection, TuneSection
from voxtune.training.tuning import apply

LOSS_TOLERANCE = 2e-5
LOGIT_TOLERANCE = 5e-4
GRADIENT_TOLERANCE = 1e-3

each_case = pytest.mark.parametrize("case", cases(FAMILY, "lora"), ids=lambda path: path.name)


def with_lora(case: Path) -> FunAsrNano:
    """The network of `model` with the case's adapters, put in as a recipe would."""
    model = network(case.parent / "model")
    conf = read_json(case / "config.json")["lora_conf"]
    lora = LoraSection(
        r=conf["r"], alpha=conf["lora_alpha"], dropout=conf["lora_dropout"], targets=conf["target_modules"]
    )
    apply(model, find("fun_asr_nano"), TuneSection(method="lora", parts=["llm"], lora=lora), 1e-4)
    state = {upstream_name(name): tensor for name, tensor in model.state_dict().items()}
    for name, tensor in read_tensors(case, "weights_lora").items():
        state[name].copy_(tensor)
    return model


@each_case
def test_keys_and_what_is_trained(case: Path) -> None:
    recorded = read_json(case / "config.json")
    model = with_lora(case)
    shapes = {upstream_name(name): list(tensor.shape) for name, tensor in model.state_dict().items()}
    added = shapes.keys() - read_tensors(case.parent / "model", "weights").keys()
    assert {name: shapes[name] for name in added} == recorded["state_dict_keys_added"]
    trained = [upstream_name(name) for name, p in model.named_parameters() if p.requires_grad]
    assert sorted(trained) == sorted(recorded["trainable"])


@each_case
def test_loss_logits_and_gradients(case: Path) -> None:
    recorded = read_tensors(case, "outputs")
    model = with_lora(case)
    batch = collated_batch(case.parent / "prompt")
    loss = model(batch)["text"] / model.label_counts(batch)["text"]
    assert_close(loss.detach(), recorded["loss"][0], LOSS_TOLERANCE, "loss")

    loss.backward()
    gradients = {upstream_name(n): p.grad for n, p in model.named_parameters() if p.requires_grad}
    assert {f"grad.{name}" for name in gradients} == {name for name in recorded if name.startswith("grad.")}
    for name, gradient in gradients.items():
        assert_gradient(gradient, recorded[f"grad.{name}"], GRADIENT_TOLERANCE, name, scale=largest_gradient(recorded))

    with torch.no_grad():
        hidden = packed_hidden_states(
            model.llm, model.insert_audio(batch, *model.encode(batch)), segments(batch.lengths)
        )
        logits = F.linear(hidden, model.llm.lm_head.weight)
    assert_close(logits, valid(recorded["logits"], batch.lengths), LOGIT_TOLERANCE, "logits")


@each_case
@torch.no_grad()
def test_folding_keeps_the_loss(case: Path) -> None:
    recorded = read_json(case / "config.json")
    model = with_lora(case)
    batch = collated_batch(case.parent / "prompt")
    merge_lora(model)
    assert model.state_dict().keys() == read_tensors(case.parent / "model", "weights").keys()
    loss = model(batch)["text"] / model.label_counts(batch)["text"]
    assert loss.item() == pytest.approx(recorded["loss_merged"], abs=LOSS_TOLERANCE)
    assert recorded["loss_merged"] == pytest.approx(recorded["loss_lora"], abs=LOSS_TOLERANCE)
