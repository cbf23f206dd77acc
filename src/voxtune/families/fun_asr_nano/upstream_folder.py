"""Models of Fun-ASR-Nano to folders that upstream's `AutoModel` loads."""

from __future__ import annotations

import json
import shutil
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from voxtune.errors import CheckpointError
from voxtune.families.fun_asr_nano.assets import CMVN, CONFIG, CONFIGURATION, CTC_RANKS, CTC_VOCABULARY, LLM, Assets
from voxtune.families.fun_asr_nano.checkpoint import EMBEDDING, HEAD, WEIGHTS, upstream_name
from voxtune.families.fun_asr_nano.model import FunAsrNano
from voxtune.families.weights import lossless
from voxtune.files import atomic_folder
from voxtune.parts.lora import lora_layers, lora_settings

TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt", "special_tokens_map.json",
    "added_tokens.json", "chat_template.jinja",
)  # fmt: skip

CONFIGURATION_DEFAULT = {
    "framework": "pytorch",
    "task": "auto-speech-recognition",
    "model": {"type": "funasr"},
    "pipeline": {"type": "funasr-pipeline"},
    "model_name_in_hub": {"ms": "", "hf": ""},
}

OF_ONE_MACHINE = ("init_param", "output_dir", "model_path", "train_data_set_list", "valid_data_set_list")
"""Keys that upstream's fine-tuning leaves in config.yaml with paths of the machine it ran on."""


def write_folder(model: FunAsrNano, folder: Path, dtype: torch.dtype | None = None) -> None:
    """Write a loaded model in upstream's layout, whole or not at all; paths inside are relative to the folder.

    dtype: of all weights; None = a tensor keeps the type that its source file has when that loses nothing (whatever was
    not trained), else it is written as it is in memory. config.yaml is the source's, with the paths made portable, the
    language model's weights included in what upstream saves, dither 0 (upstream adds noise at inference too when the
    key is absent), and without a CTC branch when the model has none.
    Raises CheckpointError when upstream's runtime has no form for the model's LoRA (DoRA, rsLoRA) or CTC branch.
    """
    if model.assets is None:
        raise ValueError("only a model that was loaded from a folder can be written")
    assets = model.assets
    _refuse_narrow_ctc(model)
    settings = _settings(model, assets)
    state = _state(model, assets, dtype)
    if any(state[name].dtype != torch.bfloat16 for name in state if name.startswith("llm.")):
        settings["llm_conf"]["llm_dtype"] = "fp32"  # else upstream rounds them when it loads them
    with atomic_folder(folder) as temporary:
        _write_llm_folder(temporary / LLM, assets)
        if assets.cmvn_file:
            shutil.copyfile(assets.cmvn_file, temporary / CMVN)
        if assets.ctc_tokenizer:
            shutil.copyfile(assets.ctc_tokenizer.path, temporary / CTC_RANKS)
        configuration = (
            CONFIGURATION_DEFAULT | assets.configuration | {"file_path_metas": _file_path_metas(settings, assets)}
        )
        (temporary / CONFIGURATION).write_text(_json(configuration), encoding="utf-8")
        text = yaml.safe_dump(settings, allow_unicode=True, sort_keys=False)
        (temporary / CONFIG).write_text(text, encoding="utf-8")
        torch.save({"state_dict": state}, temporary / WEIGHTS)


def _refuse_narrow_ctc(model: FunAsrNano) -> None:
    decoder, width = model.config.ctc_decoder, model.config.encoder.output_size
    if decoder is not None and decoder.llm_dim != width:
        raise CheckpointError(
            f"ctc_decoder_conf.llm_dim = {decoder.llm_dim}, but upstream's CTC classifier always reads the encoder's "
            f"width ({width}): its runtime would leave the branch random"
        )


def _state(model: FunAsrNano, assets: Assets, dtype: torch.dtype | None) -> dict[str, Tensor]:
    state = {}
    for name, tensor in model.state_dict().items():
        name, tensor = upstream_name(name), tensor.detach().cpu()
        state[name] = tensor.to(dtype) if dtype else lossless(tensor, assets.dtypes.get(name, tensor.dtype))
    if model.llm.config.tie_word_embeddings:
        state[HEAD] = state[EMBEDDING]
    return state


def _settings(model: FunAsrNano, assets: Assets) -> dict[str, Any]:
    settings = {key: value for key, value in deepcopy(assets.settings).items() if key not in OF_ONE_MACHINE}
    for section in ("audio_encoder_conf", "audio_adaptor_conf", "ctc_decoder_conf"):
        (settings.get(section) or {}).pop("init_param_path", None)  # the weights are in model.pt
    settings["llm_conf"] = (settings.get("llm_conf") or {}) | {"init_param_path": LLM} | _lora_conf(model)
    settings["tokenizer_conf"] = (settings.get("tokenizer_conf") or {}) | {"init_param_path": LLM}
    frontend = (settings.get("frontend_conf") or {}) | {"dither": 0.0}
    settings["frontend_conf"] = frontend | {"cmvn_file": CMVN if assets.cmvn_file else None}
    if settings.get("train_conf"):
        settings["train_conf"]["effective_save_name_excludes"] = None
    if model.ctc_decoder is None:
        settings.pop("ctc_decoder", None)
    return settings


def _lora_conf(model: FunAsrNano) -> dict[str, Any]:
    lora = lora_settings(model)
    if lora is None:
        return {"use_lora": False}
    if lora.dora or lora.rslora:
        kind = "DoRA" if lora.dora else "rsLoRA"
        raise CheckpointError(
            f"upstream's runtime knows no {kind}: export with --merge, which folds it into the weights"
        )
    targets = sorted({name.rsplit(".", 1)[-1] for name in lora_layers(model)})
    conf = {"r": lora.r, "lora_alpha": lora.alpha, "lora_dropout": lora.dropout, "target_modules": targets}
    return {"use_lora": True, "lora_conf": conf}


def _file_path_metas(settings: dict[str, Any], assets: Assets) -> dict[str, Any]:
    metas: dict[str, Any] = {
        "init_param": WEIGHTS,
        "config": CONFIG,
        "llm_conf": {"init_param_path": LLM},
        "tokenizer_conf": {"init_param_path": LLM},
    }
    if assets.cmvn_file:
        metas["frontend_conf"] = {"cmvn_file": CMVN}
    if assets.ctc_tokenizer and settings.get("ctc_decoder"):
        dataset, tokenizer, path = CTC_VOCABULARY
        own = {tokenizer: {path: CTC_RANKS}}
        # An empty section of this name at the top would hide the one under dataset_conf.
        metas |= own if tokenizer in settings else {dataset: own}
    return metas


def _write_llm_folder(folder: Path, assets: Assets) -> None:
    folder.mkdir()
    (folder / "config.json").write_text(_json(assets.llm), encoding="utf-8")
    for name in TOKENIZER_FILES:
        if (assets.llm_folder / name).is_file():
            shutil.copyfile(assets.llm_folder / name, folder / name)


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"
