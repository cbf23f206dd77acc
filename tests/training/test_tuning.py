"""What is trained and what is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer

from tests.conftest import build_tiny_asr
from voxtune.data.example import AudioInput, Batch, Example, pack
from voxtune.errors import RecipeError
from voxtune.families import find
from voxtune.families.fun_asr_nano.model import FunAsrNano
from voxtune.parts.lora import lora_layers
from voxtune.recipe import LoraSection, TrainSection, TuneSection
from voxtune.training.tuning import apply, prepare, set_train_mode

FAMILY = find("fun_asr_nano")


@pytest.fixture
def model() -> FunAsrNano:
    return build_tiny_asr().model


def trained(model: nn.Module) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def batch() -> Batch:
    tokens = torch.arange(40)[None]
    audio = [AudioInput(torch.randn(16, 560, generator=torch.Generator().manual_seed(0)), 3, 2)]
    return pack([Example("a", tokens, tokens.clone(), audio)])


def test_full_parts(model: FunAsrNano) -> None:
    groups = apply(model, FAMILY, TuneSection(parts=["audio_adaptor", "ctc"]), 1e-4)
    assert [(group.part, group.learning_rate) for group in groups] == [("audio_adaptor", 1e-4), ("ctc", 1e-4)]
    assert {name.split(".")[0] for name in trained(model)} == {"audio_adaptor", "ctc_decoder", "ctc"}
    assert sum(len(group.parameters) for group in groups) == len(trained(model))


def test_own_learning_rates(model: FunAsrNano) -> None:
    parts = {"llm": 1e-5, "audio_adaptor": 3e-4}
    groups = apply(model, FAMILY, TuneSection(parts=parts), 1e-4)
    assert {group.part: group.learning_rate for group in groups} == parts


def test_patterns(model: FunAsrNano) -> None:
    apply(model, FAMILY, TuneSection(parts=["llm.model.layers.1.*", "audio_adaptor"]), 1e-4)
    assert {name for name in trained(model) if name.startswith("llm")} == {
        name for name, _ in model.named_parameters() if name.startswith("llm.model.layers.1.")
    }


def test_lora(model: FunAsrNano) -> None:
    lora = LoraSection(r=4, targets=["q_proj", "down_proj"])
    groups = apply(model, FAMILY, TuneSection(method="lora", parts=["audio_adaptor"], lora=lora), 1e-4)
    assert {group.part for group in groups} == {"audio_adaptor", "llm"}
    assert {name.rsplit(".", 1)[-1] for name in lora_layers(model)} == {"q_proj", "down_proj"}
    assert all("lora_" in name or name.startswith("audio_adaptor.") for name in trained(model))


def test_lora_learning_rate(model: FunAsrNano) -> None:
    groups = apply(model, FAMILY, TuneSection(method="lora", parts={"llm": 2e-4, "audio_adaptor": 1e-5}), 1e-4)
    assert {group.part: group.learning_rate for group in groups} == {"llm": 2e-4, "audio_adaptor": 1e-5}


@pytest.mark.parametrize("kind", [{}, {"dora": True}, {"rslora": True}])
def test_lora_starts_as_the_model_was(kind: dict[str, bool]) -> None:
    model = build_tiny_asr(ctc=False).model.eval()
    before = model(batch())["text"]
    apply(model, FAMILY, TuneSection(method="lora", parts=["llm"], lora=LoraSection(**kind)), 1e-4)
    model.eval()
    assert model(batch())["text"].item() == pytest.approx(before.item(), rel=1e-6)


def test_lora_start_follows_from_the_seed() -> None:
    starts = []
    for seed in (1, 1, 2):
        model = build_tiny_asr().model
        torch.rand(seed)
        apply(model, FAMILY, TuneSection(method="lora", parts=["llm"]), 1e-4, seed=seed)
        starts.append(torch.cat([p.flatten() for n, p in model.named_parameters() if "lora_A" in n]))
    assert torch.equal(starts[0], starts[1]) and not torch.equal(starts[0], starts[2])


@pytest.mark.parametrize(
    ("tune", "message"),
    [
        ({"parts": []}, "nothing would be trained"),
        ({"parts": ["audio_adapter"]}, "did you mean audio_adaptor"),
        ({"parts": ["xyz"]}, "there are audio_encoder, audio_adaptor, llm, ctc"),
        ({"parts": ["llm.model.layers.9.*"]}, r"no parameter 'llm\.model\.layers\.9\.\*'"),
        ({"parts": ["llm", "llm.model.norm.*"]}, r"llm and llm\.model\.norm\.\* both name llm\.model\.norm\.weight"),
        (
            {"parts": ["llm"], "method": "lora", "lora": {"targets": ["query"]}},
            "'query' matches no layer of llm; there are down_proj",
        ),
        ({"parts": ["llm"], "method": "lora", "lora": {"targets": ["lm_head"]}}, "lm_head"),
        ({"parts": ["llm"], "method": "lora", "lora": {"targets": ["linear_q_k_v"]}}, "linear_q_k_v"),
    ],
)
def test_refusals(model: FunAsrNano, tune: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        apply(model, FAMILY, TuneSection.model_validate(tune), 1e-4)


def test_a_checkpoint_without_the_part() -> None:
    with pytest.raises(RecipeError, match=r"ctc: this model has no parameter 'ctc_decoder\.\*'"):
        apply(build_tiny_asr(ctc=False).model, FAMILY, TuneSection(parts=["ctc"]), 1e-4)


def test_lora_on_lora(model: FunAsrNano) -> None:
    apply(model, FAMILY, TuneSection(method="lora", parts=["llm"]), 1e-4)
    with pytest.raises(RecipeError, match="--merge"):
        apply(model, FAMILY, TuneSection(parts=["llm"]), 1e-4)


def with_dropout(model: FunAsrNano) -> None:
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.5


def test_frozen_parts_are_in_eval_mode(model: FunAsrNano) -> None:
    with_dropout(model)
    apply(model, FAMILY, TuneSection(parts=["audio_adaptor"]), 1e-4)
    model.train()
    set_train_mode(model)
    modes = {name: module.training for name, module in model.named_modules()}
    assert {mode for name, mode in modes.items() if name.startswith(("audio_encoder", "llm", "ctc"))} == {False}
    assert {mode for name, mode in modes.items() if name.startswith("audio_adaptor")} == {True}
    rows = batch().audio[0].features
    assert torch.equal(model.encoder_frames([rows])[0], model.encoder_frames([rows])[0])
    assert not torch.equal(model.adaptor_frames([torch.ones(9, 16)])[0], model.adaptor_frames([torch.ones(9, 16)])[0])


def test_lora_dropout_is_active(model: FunAsrNano) -> None:
    apply(model, FAMILY, TuneSection(method="lora", parts=["llm"], lora=LoraSection(dropout=0.5)), 1e-4)
    set_train_mode(model)
    assert all(layer.lora_dropout["default"].training for layer in lora_layers(model).values())
    assert not any(module.training for module in model.audio_encoder.modules())


@pytest.mark.parametrize("parts", [["audio_adaptor"], ["audio_encoder", "llm"]])
def test_activation_checkpointing(parts: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The same gradients; the language model's layers run again in the backward pass although they are frozen."""
    gradients = []
    runs = []
    for checkpointing in (False, True):
        model = build_tiny_asr(ctc=False).model
        apply(model, FAMILY, TuneSection(parts=parts), 1e-4)
        prepare(model, TrainSection(output=Path("unused"), activation_checkpointing=checkpointing))
        set_train_mode(model)
        attention = next(m for m in model.llm.modules() if isinstance(m, GradientCheckpointingLayer)).self_attn
        calls = count_calls(attention, monkeypatch)
        model(batch())["text"].backward()
        runs.append(len(calls))
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    assert runs == [1, 2]
    assert gradients[0].keys() == gradients[1].keys() and gradients[0]
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient)


def count_calls(module: nn.Module, monkeypatch: pytest.MonkeyPatch) -> list[None]:
    calls: list[None] = []
    forward: Callable[..., Any] = module.forward

    def counting(*arguments: Any, **named: Any) -> Any:
        calls.append(None)
        return forward(*arguments, **named)

    monkeypatch.setattr(module, "forward", counting)
    return calls
