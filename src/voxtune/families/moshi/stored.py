"""The language model in a Moshi folder's files: which they are, and what they hold."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from voxtune.errors import CheckpointError
from voxtune.families.moshi.config import LmConfig
from voxtune.families.moshi.folder_config import CONFIG, FolderConfig
from voxtune.families.moshi.lora_names import adapted_modules, peft_name, plain_name, without_idle
from voxtune.families.moshi.model import Moshi
from voxtune.families.moshi.tensor_names import from_ours, to_modules
from voxtune.families.weights import check_fit, read_weights
from voxtune.parts.lora import ADAPTABLE, ADAPTER, LoraSettings, inject_lora, lora_layers
from voxtune.parts.step_linear import StepLinear

WEIGHTS = "model.safetensors"
CONSOLIDATED = "consolidated.safetensors"
"""Written by kyutai's fine-tuner; LoRA is in the weights, whatever its config.json says."""
LORA = "lora.safetensors"
USER_STREAM = "user_stream.safetensors"
"""Ours: what the server has no use for."""


@dataclass(frozen=True)
class Adapters:
    """Our modules that have LoRA beside them, and upstream's two numbers."""

    modules: frozenset[str] = frozenset()
    rank: int = 0
    scaling: float = 0.0


@dataclass(frozen=True)
class Stored:
    """modules: tensors under the names of moshi 0.2.x, just those of a model of `config` with `adapters`."""

    config: LmConfig
    modules: dict[str, Tensor]
    adapters: Adapters


def read_stored(folder: Path, config: FolderConfig) -> Stored:
    """Read the language model, its LoRA, and the user's stream where our export keeps it in a file of its own.

    Raises CheckpointError when a file is missing or damaged, or when a tensor is missing, left over or of another
    shape.
    """
    path = _weights_file(folder, config)
    modules = to_modules(read_weights(path), config.published) | _user_stream(folder, config)
    adapters = Adapters()
    if (lora := _lora_file(folder, config, path)) is not None:
        modules |= read_weights(lora)  # whole embeddings among them replace those of the base
        rank, scaling = config.beside.get("lora_rank", 128), config.beside.get("lora_scaling", 2.0)
        adapters = Adapters(frozenset(adapted_modules(modules)), int(rank), float(scaling))
        modules = without_idle(modules, adapters.modules)
    lm = config.whole
    check_fit(_shapes(empty_model(lm, adapters, config.path)), modules, path)
    return Stored(lm, modules, adapters)


def build(state: dict[str, Tensor], config: LmConfig, adapters: Adapters, path: Path) -> Moshi:
    """A model that holds these tensors (plain names of ours, not copied), in eval mode. `path`: for messages."""
    model = empty_model(config, adapters, path)
    model.load_state_dict({peft_name(name, adapters.modules): tensor for name, tensor in state.items()}, assign=True)
    for module in model.modules():
        if isinstance(module, StepLinear):  # a buffer that no file holds
            module.steps = torch.tensor(module.schedule)
    return model.eval()


def empty_model(config: LmConfig, adapters: Adapters, path: Path) -> Moshi:
    """The model on the meta device: sizes without memory. Raises CheckpointError when the sizes cannot be."""
    try:
        with torch.device("meta"):
            model = Moshi(config)
            if names := _adaptable(model, adapters.modules):
                inject_lora(model, names, LoraSettings(adapters.rank, adapters.scaling * adapters.rank))
    except (TypeError, ValueError, RuntimeError, AssertionError, IndexError, ZeroDivisionError) as error:
        raise CheckpointError(f"{path}: describes no usable model: {error}") from error
    for layer in lora_layers(model).values():
        layer.scaling[ADAPTER] = adapters.scaling  # alpha / r may be off by a rounding
    return model


def _shapes(model: Moshi) -> dict[str, torch.Size]:
    """Of all tensors, under the names of moshi 0.2.x."""
    state = {plain_name(name): tensor for name, tensor in model.state_dict().items()}
    return {name: tensor.shape for name, tensor in from_ours(state, model.config).items()}


def _adaptable(model: Moshi, wanted: Collection[str]) -> list[str]:
    return [name for name, module in model.named_modules() if isinstance(module, ADAPTABLE) and name in wanted]


def _weights_file(folder: Path, config: FolderConfig) -> Path:
    for name in (config.beside.get("moshi_name"), WEIGHTS, CONSOLIDATED):
        if name and (folder / name).is_file():
            return folder / str(name)
    if (folder / LORA).is_file():
        raise CheckpointError(
            f"{folder}: holds LoRA ({LORA}), but not the model that it was trained on. Put (or link) the base model's "
            f"{WEIGHTS}, codec and tokenizer into the folder, and leave its {CONFIG} as it is"
        )
    raise CheckpointError(f"{folder}: no weights ({WEIGHTS} or {CONSOLIDATED})")


def _user_stream(folder: Path, config: FolderConfig) -> dict[str, Tensor]:
    path = folder / USER_STREAM
    if path.is_file() != (config.notes.user_stream is not None):
        raise CheckpointError(f"{folder}: {USER_STREAM} and voxtune.json belong together; export the run again")
    return read_weights(path) if path.is_file() else {}


def _lora_file(folder: Path, config: FolderConfig, weights: Path) -> Path | None:
    said, path = bool(config.beside.get("lora")), folder / str(config.beside.get("lora_name") or LORA)
    if path.is_file() and not said:
        raise CheckpointError(
            f"{path}: {CONFIG} does not say that it belongs to the weights; it needs lora: true, lora_rank and "
            "lora_scaling. Remove the file to load the weights alone"
        )
    if said and not path.is_file() and weights.name != CONSOLIDATED:
        raise CheckpointError(
            f"{path} is missing; {config.path} says lora: true. Where LoRA was merged into the weights, set it to false"
        )
    return path if path.is_file() else None
