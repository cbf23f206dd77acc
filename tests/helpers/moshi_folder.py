"""Folders of Moshi in every layout that upstream writes, from the built-in model with other weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save_file
from torch import Tensor

from voxtune.families.moshi import TINY
from voxtune.families.moshi.checkpoint import load_folder
from voxtune.families.moshi.config import LmConfig, Options
from voxtune.families.moshi.folder_config import lm_kwargs, read_mapping
from voxtune.families.moshi.model import Moshi
from voxtune.families.moshi.tensor_names import from_ours, to_fine_tuning, to_published
from voxtune.parts.lora import ADAPTABLE, LoraSettings, inject_lora

Layout = Literal["published", "fine-tuning", "modules"]
CODEC, TOKENIZER = TINY / "mimi.safetensors", TINY / "tokenizer_spm_400_3.model"


def tiny(options: Options | None = None, dtype: torch.dtype = torch.float32) -> Moshi:
    return load_folder(TINY, options or Options(), dtype=dtype)


def shaken(model: Moshi, seed: int = 0) -> Moshi:
    """As after training: every trained parameter has moved, by amounts that bfloat16 cannot hold."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter += 0.03 * torch.randn_like(parameter)
    return model


def with_lora(model: Moshi, settings: LoraSettings, ending: str = "") -> Moshi:
    """Adapters beside all layers whose name ends so, as after training."""
    names = [name for name, module in model.named_modules() if isinstance(module, ADAPTABLE) and name.endswith(ending)]
    inject_lora(model, names, settings)
    return shaken(model).eval()


def tensors_of(model: Moshi, layout: Layout) -> dict[str, Tensor]:
    modules = from_ours(model.state_dict(), model.config)
    if layout == "modules":
        return modules
    return to_published(modules) if layout == "published" else to_fine_tuning(to_published(modules))


def write_upstream(folder: Path, tensors: dict[str, Tensor], weights: str, sizes: Path | None, model: Moshi) -> Path:
    """A folder with the language model alone: its file of weights, and of sizes where `sizes` names one."""
    folder.mkdir()
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / weights)
    if sizes is not None:
        write_json(folder / sizes, lm_kwargs(model.config))
    return folder


def variant(folder: Path, sizes: LmConfig, seed: int = 1) -> Path:
    """A folder of a relative of Moshi, with random weights."""
    torch.manual_seed(seed)
    model = Moshi(sizes)
    folder.mkdir()
    tensors = to_published(from_ours(model.state_dict(), sizes))
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "model.safetensors")
    write_json(folder / "config.json", lm_kwargs(sizes))
    return folder


def copy_of_tiny(folder: Path, **changes: Any) -> Path:
    """The built-in folder, with other values in its config.json."""
    shutil.copytree(TINY, folder)
    write_json(folder / "config.json", read_mapping(folder / "config.json") | changes)
    return folder


def write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")
