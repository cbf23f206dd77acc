"""Adapters under kyutai's names (`transformer.layers.0.gating.linear_in.lora_A.weight`) and as peft holds them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

import torch
from torch import Tensor, nn

from voxtune.families.moshi.tensor_names import place
from voxtune.parts.lora import ADAPTABLE, ADAPTER, lora_layers

MATRIX = re.compile(r"(?P<module>.*)\.lora_[AB]\.weight")


def adapted_modules(modules: Mapping[str, Tensor]) -> set[str]:
    """Our modules that have adapters among tensors under the names of moshi 0.2.x.

    Adapters of only zeros do not count: upstream cannot load a file without an adapter beside every layer, so that
    those that were not trained are written, too.
    """
    found = set()
    for name, tensor in modules.items():
        if MATRIX.fullmatch(name) and bool(tensor.any()):
            matrix = MATRIX.fullmatch(place(name)[0])
            found.add(matrix["module"] if matrix else name)
    return found


def without_idle(modules: Mapping[str, Tensor], adapted: Collection[str]) -> dict[str, Tensor]:
    """The tensors without adapters beside modules that are not `adapted`."""

    def idle(name: str) -> bool:
        matrix = MATRIX.fullmatch(place(name)[0])
        return matrix is not None and matrix["module"] not in adapted

    return {name: tensor for name, tensor in modules.items() if not idle(name)}


def peft_name(name: str, adapted: Collection[str]) -> str:
    """What peft makes of the name of a tensor in our state dict."""
    module, _, rest = name.rpartition(".")
    if MATRIX.fullmatch(name):
        return f"{module}.{ADAPTER}.{rest}"
    return f"{module}.base_layer.{rest}" if module in adapted else name


def plain_name(name: str) -> str:
    """The way back."""
    return name.replace(".base_layer.", ".").replace(f".{ADAPTER}.", ".")


def idle_adapters(model: nn.Module, rank: int) -> dict[str, Tensor]:
    """Adapters of zeros for the layers that have none, under plain names of ours."""
    beside = lora_layers(model)
    idle = {}
    for name, module in model.named_modules():
        if isinstance(module, ADAPTABLE) and not name.startswith(tuple(f"{layer}." for layer in beside)):
            weight = module.weight
            idle[f"{name}.lora_A.weight"] = weight.new_zeros(*weight.shape[:-2], rank, weight.shape[-1])
            idle[f"{name}.lora_B.weight"] = weight.new_zeros(*weight.shape[:-1], rank)
    return {name: tensor.to(torch.float32) for name, tensor in idle.items()}
