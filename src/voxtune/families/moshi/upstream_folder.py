"""Models of Moshi to folders that upstream loads: kyutai's server, or nu-dialogue's fine-tuner."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from voxtune.errors import CheckpointError
from voxtune.families.moshi.assets import Assets
from voxtune.families.moshi.config import LmConfig
from voxtune.families.moshi.folder_config import (
    CONFIG,
    LM_KWARGS,
    NOTES,
    VARIANTS,
    Notes,
    differing,
    lm_kwargs,
)
from voxtune.families.moshi.lora_names import MATRIX, idle_adapters, plain_name
from voxtune.families.moshi.model import Moshi
from voxtune.families.moshi.stored import LORA, USER_STREAM, WEIGHTS
from voxtune.families.moshi.tensor_names import from_ours, to_fine_tuning, to_published
from voxtune.families.moshi.user_stream import split, without_user_stream
from voxtune.families.weights import lossless
from voxtune.files import atomic_folder, write_json
from voxtune.parts.lora import ADAPTER, lora_layers, lora_settings
from voxtune.parts.mimi.config import PUBLISHED

SERVER = "moshi.server"
FINE_TUNER = "moshi-finetune"
CODEC_CONFIG = "mimi.json"
FINE_TUNER_STREAMS = 16
"""nu-dialogue's code counts on 8 codebooks a speaker."""


def write_folder(model: Moshi, folder: Path, target: str, dtype: torch.dtype | None = None) -> None:
    """Write a loaded model for one of upstream's programs, whole or not at all.

    moshi.server: the published layout of kyutai's server (PyPI moshi >= 0.2), for the model's own stream alone. What
    predicts the user's goes to user_stream.safetensors, which our loader puts back. LoRA stays in a file beside the
    weights, with adapters of zeros where there are none, because that server wants one beside every layer. It takes a
    vocabulary of any size; with other padding ids than 3 and 0 it speaks as it should, but shows them as text.
    moshi-finetune: the layout in which nu-dialogue's scripts go on, both streams included.
    dtype: of all weights; None = bfloat16, as published, where that loses nothing, else as in memory.
    Raises CheckpointError when the target cannot load such a model.
    """
    if model.assets is None:
        raise ValueError("only a model that was loaded from a folder can be written")
    assets = model.assets
    if target == FINE_TUNER:
        _refuse_for_fine_tuner(model)
    state = {plain_name(name): tensor.detach().cpu() for name, tensor in model.state_dict().items()}
    lora = _lora_keys(model)
    if lora:
        state |= idle_adapters(model, lora["lora_rank"])
    modules = from_ours(state, model.config)
    removed: dict[str, Tensor] = {}
    config = model.config
    if target == SERVER:
        modules, removed = split(modules, config)
        config = without_user_stream(config)
    adapters = {name: modules.pop(name) for name in list(modules) if MATRIX.fullmatch(name)}
    weights = to_published(modules)
    if target == FINE_TUNER:
        weights = to_fine_tuning(weights)
    with atomic_folder(folder) as temporary:
        _save(weights, temporary / WEIGHTS, dtype)
        if adapters:
            _save(adapters, temporary / LORA, dtype)
        if removed:
            _save(removed, temporary / USER_STREAM, dtype)
        write_json(temporary / LM_KWARGS, lm_kwargs(config))
        write_json(temporary / CONFIG, lm_kwargs(config) | _write_assets(assets, temporary) | lora)
        write_json(temporary / NOTES, _notes(assets, model.config, config).model_dump())


def _refuse_for_fine_tuner(model: Moshi) -> None:
    if lora_layers(model):
        raise CheckpointError(f"{FINE_TUNER} knows no LoRA: export with --merge, which folds it into the weights")
    variants = [key for key in VARIANTS if key in lm_kwargs(model.config)]
    if not isinstance(model.config.depformer_dim_feedforward, int):
        variants.append("depformer_dim_feedforward, of several sizes")
    if variants:
        raise CheckpointError(f"{FINE_TUNER} is built on moshi 0.1.0, which does not know {', '.join(variants)}")
    if model.config.n_q != FINE_TUNER_STREAMS:
        raise CheckpointError(f"{FINE_TUNER} can only train models with n_q = 16; this one has {model.config.n_q}")


def _lora_keys(model: Moshi) -> dict[str, Any]:
    settings = lora_settings(model)
    if settings is None:
        return {}
    if settings.dora:
        raise CheckpointError("upstream knows no DoRA: export with --merge, which folds it into the weights")
    scaling = {layer.scaling[ADAPTER] for layer in lora_layers(model).values()}
    return {"lora": True, "lora_rank": settings.r, "lora_scaling": scaling.pop(), "lora_name": LORA}


def _write_assets(assets: Assets, folder: Path) -> dict[str, Any]:
    """Codec and tokenizer, and the keys of config.json that name them."""
    shutil.copyfile(assets.codec_file, folder / assets.codec_file.name)
    shutil.copyfile(assets.tokenizer_file, folder / assets.tokenizer_file.name)
    keys: dict[str, Any] = {
        "moshi_name": WEIGHTS,
        "mimi_name": assets.codec_file.name,
        "tokenizer_name": assets.tokenizer_file.name,
        "model_type": "moshi",
    }
    if assets.codec.config != PUBLISHED:
        write_json(folder / CODEC_CONFIG, assets.codec.config.to_dict())
        keys["mimi_config_name"] = CODEC_CONFIG
    if assets.generation:
        keys["lm_gen_config"] = assets.generation
    return keys


def _notes(assets: Assets, whole: LmConfig, written: LmConfig) -> Notes:
    return Notes(
        end_of_text_padding_id=assets.text.end_of_padding,
        whitespace_before_word=assets.whitespace,
        user_stream=differing(lm_kwargs(whole), lm_kwargs(written)) or None,
    )


def _save(tensors: Mapping[str, Tensor], path: Path, dtype: torch.dtype | None) -> None:
    written = {name: t.to(dtype) if dtype else lossless(t, torch.bfloat16) for name, t in tensors.items()}
    save_file({name: tensor.contiguous() for name, tensor in written.items()}, path)
    path.chmod(0o644)  # safetensors lets only the owner read it
