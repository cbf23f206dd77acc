"""What is trained: parts of a model in full or by LoRA; everything else stays frozen and in eval mode."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from torch import nn
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from voxtune.errors import RecipeError
from voxtune.families.family import Family, Model
from voxtune.parts.lora import ADAPTABLE, LoraSettings, inject_lora, lora_layers
from voxtune.recipe import LoraSection, TrainSection, TuneSection

OUTPUT_MATRIX = "lm_head"
"""Models multiply by its weight without calling it, so LoRA beside it would train nothing."""


@dataclass(frozen=True)
class ParameterGroup:
    """The trained parameters of a part, and its learning rate."""

    part: str
    parameters: list[nn.Parameter]
    learning_rate: float


def apply(
    model: Model, family: Family, tune: TuneSection, learning_rate: float, *, seed: int = 0
) -> list[ParameterGroup]:
    """Freeze the model but for the parts of `tune`, and give those back.

    full: the named parts train whole. lora: adapters beside the linear layers of the family's LoRA part train (their
    start follows from `seed`), named or not, and the other named parts train whole. A part is one of the family's, or
    a glob pattern over parameter names. `auto` must have been replaced by `Family.parts_for` before.
    Raises RecipeError when a part or a LoRA target matches nothing, or when two parts share a tensor.
    """
    if tune.parts == "auto":
        raise ValueError("tune.parts: auto is replaced by the parts that the hours of data call for, before apply()")
    if not tune.parts and tune.method == "full":
        raise RecipeError("tune.parts is empty: nothing would be trained")
    if lora_layers(model):
        raise RecipeError("model.source holds LoRA beside its weights: export it with --merge, and train from that")
    rates = tune.parts if isinstance(tune.parts, dict) else dict.fromkeys(tune.parts, learning_rate)
    adapted = family.lora.part if tune.method == "lora" else None
    trained = {part: _parameters(model, family, part) for part in rates if part != adapted}
    _refuse_overlap(trained)
    model.requires_grad_(False)
    if adapted is not None:
        trained[adapted] = _adapters(model, family, tune.lora, seed)
    groups = [
        ParameterGroup(part, list(parameters.values()), rates.get(part, learning_rate))
        for part, parameters in trained.items()
    ]
    for group in groups:
        for parameter in group.parameters:
            parameter.requires_grad_(True)
    return groups


def set_train_mode(model: nn.Module) -> None:
    """Put what is trained into train mode: modules that hold a trained parameter, and their dropouts. The rest is put
    into eval mode, so that a frozen encoder hears the same twice."""
    model.train(any(parameter.requires_grad for parameter in model.parameters()))
    for child in model.children():
        if any(True for _ in child.parameters()):
            set_train_mode(child)
    if _checkpoints_activations(model):
        # Such a module saves memory only in train mode, frozen ones between loss and trained parts included. Its own
        # flag does nothing else: dropout reads the flags of the modules inside.
        model.training = True


def prepare(model: nn.Module, train: TrainSection) -> None:
    """Switch activation checkpointing on where the recipe asks for it."""
    if not train.activation_checkpointing:
        return
    module: Any
    for module in model.modules():
        if isinstance(module, PreTrainedModel) and module.supports_gradient_checkpointing:
            module.activation_checkpointing_enable({"use_reentrant": False})
        elif hasattr(module, "activation_checkpointing"):
            module.activation_checkpointing = True


def _checkpoints_activations(module: nn.Module) -> bool:
    if isinstance(module, GradientCheckpointingLayer):
        return module.gradient_checkpointing
    return getattr(module, "activation_checkpointing", False) is True


def _parameters(model: Model, family: Family, part: str) -> dict[str, nn.Parameter]:
    if part in family.parts:
        patterns = family.parts[part]
    elif "*" in part or "." in part:
        patterns = (part,)
    else:
        nearest = difflib.get_close_matches(part, family.parts, n=1)
        hint = f"did you mean {nearest[0]}?" if nearest else f"there are {', '.join(family.parts)}"
        raise RecipeError(f"tune.parts: {family.name} has no part {part!r}; {hint}")
    found: dict[str, nn.Parameter] = {}
    for pattern in patterns:
        matching = {name: p for name, p in model.named_parameters() if fnmatchcase(name, pattern)}
        if not matching:
            raise RecipeError(f"tune.parts: {part}: this model has no parameter {pattern!r}; leave the part out")
        found |= matching
    return found


def _refuse_overlap(trained: dict[str, dict[str, nn.Parameter]]) -> None:
    owner: dict[str, str] = {}
    for part, parameters in trained.items():
        for name in parameters:
            if name in owner:
                raise RecipeError(f"tune.parts: {owner[name]} and {part} both name {name}; keep one of them")
            owner[name] = part


def _adapters(model: Model, family: Family, lora: LoraSection, seed: int) -> dict[str, nn.Parameter]:
    linears = [
        name
        for name, module in model.named_modules()
        if isinstance(module, ADAPTABLE)
        and any(fnmatchcase(f"{name}.weight", pattern) for pattern in family.parts[family.lora.part])
        and _last(name) != OUTPUT_MATRIX
    ]
    targets = lora.targets or family.lora.targets
    for target in targets:
        if target not in {_last(name) for name in linears}:
            known = ", ".join(sorted({_last(name) for name in linears}))
            raise RecipeError(
                f"tune.lora.targets: {target!r} matches no layer of {family.lora.part}; there are {known}"
            )
    settings = LoraSettings(lora.r, lora.alpha, lora.dropout, lora.dora, lora.rslora)
    inject_lora(model, [name for name in linears if _last(name) in targets], settings, seed)
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def _last(name: str) -> str:
    return name.rsplit(".", 1)[-1]
