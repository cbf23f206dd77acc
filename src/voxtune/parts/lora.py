"""Low-rank adapters beside linear layers: peft's, put in place, read back and folded into the weights."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from voxtune.parts.step_linear import StepLinear
from voxtune.parts.step_lora import StepLora

ADAPTER = "default"
ADAPTABLE = (nn.Linear, StepLinear)


@dataclass(frozen=True)
class LoraSettings:
    """Sizes of the adapters. y = W x + alpha / r * B A dropout(x); with rslora alpha / sqrt(r)."""

    r: int
    alpha: float
    dropout: float = 0.0
    dora: bool = False
    rslora: bool = False


def inject_lora(model: nn.Module, modules: Collection[str], settings: LoraSettings, seed: int = 0) -> None:
    """Put adapters beside the named layers (`ADAPTABLE`), and freeze every other parameter of the model.

    A starts random (from `seed`), B zero: outputs stay as they were.
    """
    config = LoraConfig(
        r=settings.r,
        lora_alpha=settings.alpha,  # type: ignore[arg-type]
        lora_dropout=settings.dropout,
        target_modules=list(modules),
        use_dora=settings.dora,
        use_rslora=settings.rslora,
    )
    config._register_custom_module({StepLinear: StepLora})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        inject_adapter_in_model(config, model, ADAPTER)


def lora_layers(model: nn.Module) -> dict[str, LoraLayer]:
    """Layers with adapters by their names."""
    return {name: module for name, module in model.named_modules() if isinstance(module, LoraLayer)}


def lora_settings(model: nn.Module) -> LoraSettings | None:
    """How the model's adapters were made, None when it has none."""
    if not lora_layers(model):
        return None
    config: LoraConfig = model.peft_config[ADAPTER]  # type: ignore[index, assignment]
    return LoraSettings(config.r, config.lora_alpha, config.lora_dropout, config.use_dora, config.use_rslora)


def weight_of(layer: nn.Module) -> Tensor:
    """The weight of a layer with what its adapters add, for who multiplies by it without calling the layer."""
    adapted: Any = layer
    weight: Tensor = adapted.get_base_layer().weight if isinstance(layer, LoraLayer) else adapted.weight
    for adapter in adapted.active_adapters if isinstance(layer, LoraLayer) else ():
        weight = weight + adapted.get_delta_weight(adapter)
    return weight


def merge_lora(model: nn.Module) -> None:
    """Fold the adapters into their weights (W + alpha / r * B A) and take them out of the model.

    Raises ValueError when a merged weight is not finite; the model is then unusable.
    """
    for name, layer in lora_layers(model).items():
        layer.merge(safe_merge=True)
        model.set_submodule(name, layer.get_base_layer())
    del model.peft_config
