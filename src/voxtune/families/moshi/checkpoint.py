"""Folders of Moshi to models, strictly. (`upstream_folder.py` is the way back.)

Reads what is published (kyutai's and J-Moshi's), what upstream's two fine-tuners write, and what we export.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from voxtune.errors import CheckpointError
from voxtune.families.moshi.assets import Assets, read_assets
from voxtune.families.moshi.config import LmConfig, Options
from voxtune.families.moshi.folder_config import CONFIG, LM_KWARGS, FolderConfig, read_folder_config, read_mapping
from voxtune.families.moshi.lora_names import adapted_modules, peft_name, plain_name, without_idle
from voxtune.families.moshi.model import Moshi
from voxtune.families.moshi.tensor_names import from_ours, to_modules, to_ours
from voxtune.families.moshi.text_embeddings import redrawn
from voxtune.families.moshi.user_stream import extended
from voxtune.families.weights import check_fit, read_weights
from voxtune.parts.lora import ADAPTABLE, ADAPTER, LoraSettings, inject_lora, lora_layers
from voxtune.parts.step_linear import StepLinear

WEIGHTS = "model.safetensors"
CONSOLIDATED = "consolidated.safetensors"
"""Written by kyutai's fine-tuner; LoRA is in the weights, whatever its config.json says."""
LORA = "lora.safetensors"
USER_STREAM = "user_stream.safetensors"
"""Ours: what the server has no use for."""

PATTERNS = ("*.json", "*.safetensors", "*.model")
"""Files of a hub model that are needed."""

SIZES = {"dim", "n_q", "dep_q", "depformer_dim"}
TENSORS = {"text_emb.weight", "emb.0.weight", "text_linear.weight", "depformer_in.0.weight"}


@dataclass(frozen=True)
class _Adapters:
    """Our modules that have them, and upstream's two numbers."""

    modules: frozenset[str]
    rank: int
    scaling: float


def is_moshi_folder(folder: Path) -> bool:
    """Whether a folder holds Moshi's language model, by the sizes in its json files or the names in its weights."""
    for name in (CONFIG, LM_KWARGS):
        if (folder / name).is_file():
            try:
                return read_mapping(folder / name).keys() >= SIZES
            except CheckpointError:
                return False
    try:
        with safe_open(folder / WEIGHTS, framework="pt") as file:
            return set(file.keys()) >= TENSORS
    except (OSError, SafetensorError):
        return False


def load_folder(folder: Path, options: Options, *, dtype: torch.dtype = torch.float32) -> Moshi:
    """The model of a folder, every parameter in `dtype`, in eval mode, with its `assets`.

    LoRA beside the weights stays beside them. `extend_for_user_stream` does nothing where the user's stream is there
    already; `new_text_embeddings` always draws anew, the same rows each time. Two calls give the same model.
    Raises CheckpointError when a file is missing or damaged, or when a tensor is missing, left over or of another
    shape.
    """
    config = read_folder_config(folder)
    path = _weights_file(folder, config)
    tensors = read_weights(path)
    narrowest = min((tensor.dtype for tensor in tensors.values()), key=lambda each: each.itemsize)
    lm = config.whole
    modules = to_modules(tensors, config.published) | _user_stream(folder, config)
    lora = _lora_file(folder, config, path)
    if lora is not None:
        modules |= read_weights(lora)
    adapters = _Adapters(
        frozenset(adapted_modules(modules)) if lora is not None else frozenset(),
        int(config.beside.get("lora_rank", 128)),
        float(config.beside.get("lora_scaling", 2.0)),
    )
    modules = without_idle(modules, adapters.modules) if lora is not None else modules
    check_fit(_shapes(_empty(config.path, lm, adapters)), modules, path)
    if options.text_padding_id is not None:
        lm = replace(lm, existing_text_padding_id=options.text_padding_id)
    assets = read_assets(folder, config, lm, options, narrowest)
    _check_vocabulary(assets, lm, options)

    state = to_ours(modules, lm, dtype)
    if options.extend_for_user_stream and not lm.user_stream:
        state, lm = extended(state, lm)
    if options.new_text_embeddings:
        state, lm = redrawn(state, lm, assets.tokenizer.size, options.retain_text_token_ids)
    model = _empty(config.path, lm, adapters)
    model.load_state_dict({peft_name(name, adapters.modules): tensor for name, tensor in state.items()}, assign=True)
    for module in model.modules():
        if isinstance(module, StepLinear):  # a buffer that no file holds
            module.steps = torch.tensor(module.schedule)
    model.options, model.assets = options, assets
    return model.eval()


def _empty(path: Path, lm: LmConfig, adapters: _Adapters) -> Moshi:
    """The model on the meta device: sizes without memory."""
    try:
        with torch.device("meta"):
            model = Moshi(lm)
            names = _adaptable(model, adapters.modules)
            if names:
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
    said, path = bool(config.beside.get("lora")), folder / (config.beside.get("lora_name") or LORA)
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


def _check_vocabulary(assets: Assets, lm: LmConfig, options: Options) -> None:
    size = assets.tokenizer.size
    if size != lm.text_card and not options.new_text_embeddings:
        raise CheckpointError(
            f"{assets.tokenizer_file}: {size} tokens, but the checkpoint was trained with {lm.text_card}. Take its own "
            "tokenizer, or set model.new_text_embeddings to true to learn another one"
        )
