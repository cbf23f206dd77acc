"""Upstream's trainer: accumulation, clipping, AdamW, warmuplr, four sets of trained parts.

A case may have been recorded with `weights_start` written after its last run had moved the weights in place. Its
losses then belong to weights that nobody has. Such a case is recognised by its own sums (frozen tensors that differ
from the start), and our steps are compared with upstream's arithmetic written out here, from the same weights.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.parity.conftest import cases
from tests.parity.model_case import collated_batch, network
from voxtune.data.example import Batch
from voxtune.families.family import Model
from voxtune.families.fun_asr_nano import FAMILY
from voxtune.recipe import ScheduleSection, TrainSection, TuneSection
from voxtune.training import tuning
from voxtune.training.optim import adamw
from voxtune.training.parallel import Parallel
from voxtune.training.step import Trainer

PARTS = ("audio_encoder", "audio_adaptor", "llm")
CASES = pytest.mark.parametrize("case", cases("fun-asr-nano", "train_steps"), ids=lambda path: path.name)


def runs(case: Path) -> dict[str, Any]:
    recorded: dict[str, Any] = json.loads((case / "outputs.json").read_text())
    return recorded


def trained_parts(recorded: dict[str, Any]) -> list[str]:
    return [p for p, frozen in zip(PARTS, recorded["freeze_encoder_adaptor_llm"], strict=True) if not frozen]


def section(config: dict[str, Any]) -> TrainSection:
    return TrainSection(
        output=Path("unused"),
        learning_rate=config["optim_conf"]["lr"],
        weight_decay=config["optim_conf"]["weight_decay"],
        clip=config["train_conf"]["grad_clip"],
        schedule=ScheduleSection(kind="inverse_sqrt", warmup=config["scheduler_conf"]["warmup_steps"]),
        precision="fp32",
    )


def upstream_steps(model: Model, batch: Batch, config: dict[str, Any]) -> list[dict[str, float]]:
    """Upstream's arithmetic: the mean loss of each micro-batch divided by the number of them."""
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, **config["optim_conf"])
    accumulated, warmup = config["train_conf"]["accum_grad"], config["scheduler_conf"]["warmup_steps"]
    steps = []
    for micro in range(config["micro_steps"]):
        number = micro // accumulated + 1
        rate = config["optim_conf"]["lr"] * warmup**0.5 * min(number**-0.5, number * warmup**-1.5)
        loss = model(batch)["text"] / model.label_counts(batch)["text"]
        (loss / accumulated).backward()
        norm = torch.nn.utils.get_total_norm([p.grad for p in trained if p.grad is not None])
        steps.append({
            "loss": loss.item(), "accumulated_grad_norm_before_clip": norm.item(), "lr_before_update": rate
        })  # fmt: skip
        if (micro + 1) % accumulated == 0:
            torch.nn.utils.clip_grad_norm_(trained, config["train_conf"]["grad_clip"])
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
            optimizer.zero_grad()
    return steps


@CASES
@pytest.mark.parametrize("run", ["llm_only_default", "adaptor_only", "encoder_and_adaptor", "full"])
def test_losses_norms_and_weights(case: Path, run: str) -> None:
    config, recorded = json.loads((case / "config.json").read_text()), runs(case)[run]
    batch, start = collated_batch(case.parent / "prompt"), load_file(case / "weights_start.safetensors")
    parts = trained_parts(recorded)
    model = network(case.parent / "model", weights=start)
    groups = tuning.apply(model, FAMILY, TuneSection(parts=parts), config["optim_conf"]["lr"])
    expected, sums = recorded["steps"], recorded["final_param_sums"]
    if moved_in_place(case):
        reference = network(case.parent / "model", weights=start)
        tuning.apply(reference, FAMILY, TuneSection(parts=parts), config["optim_conf"]["lr"])
        expected = upstream_steps(reference.eval(), batch, config)
        sums = {key: value.double().sum().item() for key, value in reference.state_dict().items()}
    train = section(config)
    trainer = Trainer(model, adamw(groups, train), train, 100, Parallel())
    accumulated = config["train_conf"]["accum_grad"]
    for number, micro in enumerate(range(accumulated - 1, config["micro_steps"], accumulated), 1):
        step = trainer.step(number, [batch] * accumulated)
        assert step.loss == pytest.approx(expected[micro]["loss"], abs=2e-4)
        assert step.gradient_norm == pytest.approx(expected[micro]["accumulated_grad_norm_before_clip"], rel=1e-3)
        assert step.learning_rate == pytest.approx(recorded["steps"][micro]["lr_before_update"], rel=1e-9)
    for key, value in model.state_dict().items():
        assert value.double().sum().item() == pytest.approx(sums[key], abs=1e-3 * max(1.0, value.numel() * 1e-2)), key
        if not key.startswith(tuple(parts)):
            assert torch.equal(value, start[key]), key


def moved_in_place(case: Path) -> bool:
    """Whether the tensors that a run froze differ from the recorded start: then it is not the start."""
    start = load_file(case / "weights_start.safetensors")
    return any(
        abs(start[key].double().sum().item() - total) > 1e-3
        for recorded in runs(case).values()
        for key, total in recorded["final_param_sums"].items()
        if not key.startswith(tuple(trained_parts(recorded)))
    )
