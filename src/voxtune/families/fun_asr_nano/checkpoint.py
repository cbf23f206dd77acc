"""Folders of Fun-ASR-Nano to models, strictly. (`upstream_folder.py` is the way back.)

A state dict has upstream's names, LoRA's too: `...q_proj.lora_A` and `.lora_B` beside `...q_proj.weight`.
Source: funasr/train_utils/load_pretrained_model.py, funasr/models/fun_asr_nano/model.py.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from voxtune.errors import CheckpointError
from voxtune.families.fun_asr_nano.assets import CONFIG, CTC_RANKS, Assets, read_assets
from voxtune.families.fun_asr_nano.config import FunAsrNanoConfig, config_from
from voxtune.families.fun_asr_nano.hf_layout import is_hf_folder, read_hf_folder
from voxtune.families.fun_asr_nano.model import FunAsrNano
from voxtune.families.weights import check_fit, read_weights
from voxtune.parts.lora import ADAPTER, LoraSettings, inject_lora

WEIGHTS = "model.pt"
WEIGHTS_SAFE = "model.safetensors"
PATTERNS = ("*.yaml", "*.json", "*.pt", "*.safetensors", "*.tiktoken", "*.mvn", "*.jinja", "*.txt")
"""Files of a hub model that are needed."""

CTC = ("ctc_decoder.", "ctc.")
EMBEDDING = "llm.model.embed_tokens.weight"
HEAD = "llm.lm_head.weight"


def load_folder(folder: Path, *, dtype: torch.dtype = torch.float32, ctc_weight: float = 0.0) -> FunAsrNano:
    """The model of a folder, every parameter in `dtype`, in eval mode, with its `assets`.

    Reads upstream's layout (`model.pt` flat, wrapped or with a `module.` prefix, or `model.safetensors`) and
    transformers' one. A folder without CTC tensors gives a model without that branch. Raises CheckpointError when a
    file is missing or damaged, or when any other tensor is missing, left over or of another shape.
    """
    if is_hf_folder(folder):
        assets, path, tensors = read_hf_folder(folder)
    else:
        assets = read_assets(folder)
        path = _weights_file(folder, assets)
        tensors = read_weights(path)
    config = _config(folder, assets, tensors)
    if ctc_weight and config.ctc_decoder is None:
        raise CheckpointError(
            f"{path}: no CTC branch, which model.ctc_weight = {ctc_weight:g} needs. Use a checkpoint that has one "
            "(Fun-ASR-Nano-2512 on ModelScope has), or set model.ctc_weight to 0"
        )
    model = _empty_model(folder, config, assets, tensors, ctc_weight)
    _fill_tied_head(model, tensors, path)
    names = {upstream_name(name): name for name in model.state_dict()}
    check_fit({name: model.state_dict()[ours].shape for name, ours in names.items()}, tensors, path)
    model.to(dtype).to_empty(device="cpu")
    model.llm.tie_weights()
    rotary = model.llm.model.rotary_emb
    model.llm.model.rotary_emb = type(rotary)(model.llm.config)
    model.load_state_dict({names[name]: tensor for name, tensor in tensors.items()})
    model.assets = replace(assets, dtypes={name: tensor.dtype for name, tensor in tensors.items()})
    return model.eval()


def upstream_name(name: str) -> str:
    """Upstream's name of a tensor of our state dict; only those of layers with LoRA differ."""
    name = name.replace(".base_layer.", ".")
    for matrix in ("lora_A", "lora_B"):
        name = name.replace(f".{matrix}.{ADAPTER}.weight", f".{matrix}")
    return name


def _weights_file(folder: Path, assets: Assets) -> Path:
    named = (assets.configuration.get("file_path_metas") or {}).get("init_param")
    for name in (named, WEIGHTS, WEIGHTS_SAFE):
        if isinstance(name, str) and (folder / name).is_file():
            return folder / name
    raise CheckpointError(f"{folder}: no weights ({WEIGHTS} or {WEIGHTS_SAFE})")


def _config(folder: Path, assets: Assets, tensors: dict[str, Tensor]) -> FunAsrNanoConfig:
    try:
        config = config_from(assets.settings, assets.llm)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{folder / CONFIG}: a size is missing or unusable: {error}") from error
    if config.ctc_decoder is not None and not any(name.startswith(CTC) for name in tensors):
        config = replace(config, ctc_decoder=None, ctc_vocabulary=0)
    if config.ctc_decoder is not None:
        _check_ctc_vocabulary(folder, config, assets)
    return config


def _check_ctc_vocabulary(folder: Path, config: FunAsrNanoConfig, assets: Assets) -> None:
    if assets.ctc_tokenizer is None:
        raise CheckpointError(f"{folder}: {CTC_RANKS} is missing; the CTC branch needs it, upstream's runtime too")
    path, ranks = assets.ctc_tokenizer.path, len(assets.ctc_tokenizer.ranks)
    if ranks >= config.ctc_vocabulary:
        raise CheckpointError(
            f"{path}: {ranks} tokens do not fit into ctc_vocab_size = {config.ctc_vocabulary}, which counts the blank"
        )


def _empty_model(
    folder: Path, config: FunAsrNanoConfig, assets: Assets, tensors: dict[str, Tensor], ctc_weight: float
) -> FunAsrNano:
    """The model on the meta device: sizes without memory."""
    try:
        with torch.device("meta"):
            model = FunAsrNano(config, ctc_weight=ctc_weight)
            if assets.lora is not None:
                with_lora = [name.removesuffix(".lora_A") for name in tensors if name.endswith(".lora_A")]
                inject_lora(model, with_lora, _lora_settings(assets.lora))
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, AssertionError) as error:
        raise CheckpointError(f"{folder}: config.yaml and config.json describe no usable model: {error}") from error
    if len(assets.tokenizer) > model.llm.config.vocab_size:
        raise CheckpointError(
            f"{assets.llm_folder}: the tokenizer has {len(assets.tokenizer)} tokens, the language model "
            f"{model.llm.config.vocab_size}: they do not belong together"
        )
    return model


def _lora_settings(lora_conf: dict[str, object]) -> LoraSettings:
    """Upstream's keys and defaults."""
    values = {"r": 16, "lora_alpha": 32, "lora_dropout": 0.05} | lora_conf
    return LoraSettings(int(values["r"]), float(values["lora_alpha"]), float(values["lora_dropout"]))  # type: ignore


def _fill_tied_head(model: FunAsrNano, tensors: dict[str, Tensor], path: Path) -> None:
    """A tied output matrix may be left out of a file; where it is there, it must be the embedding."""
    if not model.llm.config.tie_word_embeddings or EMBEDDING not in tensors:
        return
    if not torch.equal(tensors.setdefault(HEAD, tensors[EMBEDDING]), tensors[EMBEDDING]):
        raise CheckpointError(f"{path}: {HEAD} differs from {EMBEDDING}, but config.json says that they are tied")
