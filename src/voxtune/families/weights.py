"""Weights in files: read without ever unpickling objects, and fitted strictly."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from voxtune.errors import CheckpointError

WRAPPERS = ("state_dict", "model_state_dict", "model")
"""Keys that a state dict may lie under, tried in this order."""

SHOWN = 8


def read_weights(path: Path) -> dict[str, Tensor]:
    """Tensors of a `.safetensors` or `torch.save` file by name; a wrapper and a `module.` prefix are taken off.

    The tensors are memory-mapped where the file allows it. Raises CheckpointError when the file is damaged, holds
    Python objects (which are not unpickled), or no tensors.
    """
    try:
        content: Any
        if path.suffix == ".safetensors":
            content = load_file(path)
        else:
            content = torch.load(path, weights_only=True, mmap=zipfile.is_zipfile(path), map_location="cpu")
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error})") from error
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path}: damaged, or it holds Python objects besides tensors, which could run code and are never loaded. "
            "Download it again, or save only its state dict"
        ) from error
    except (SafetensorError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise CheckpointError(f"{path}: damaged or cut short; download it again ({_first_line(error)})") from error
    for wrapper in WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict) or not content:
        raise CheckpointError(f"{path}: holds no state dict")
    odd = [str(name) for name, value in content.items() if not isinstance(value, Tensor)]
    if odd:
        raise CheckpointError(f"{path}: no state dict, {_some(odd)} is no tensor")
    return {str(name).removeprefix("module."): tensor for name, tensor in content.items()}


def check_fit(expected: Mapping[str, torch.Size], tensors: Mapping[str, Tensor], path: Path) -> None:
    """Make sure that the tensors are exactly the expected ones, finite and of the expected shapes.

    Raises CheckpointError naming what is missing, left over, or different.
    """
    problems = []
    if missing := [f"{name} {list(expected[name])}" for name in expected if name not in tensors]:
        problems.append(f"{len(missing)} tensors are missing: {_some(missing)}")
    if left_over := [f"{name} {list(tensors[name].shape)}" for name in tensors if name not in expected]:
        problems.append(f"{len(left_over)} tensors are not part of this model: {_some(left_over)}")
    if misshapen := [
        f"{name} {list(tensors[name].shape)} instead of {list(shape)}"
        for name, shape in expected.items()
        if name in tensors and tensors[name].shape != shape
    ]:
        problems.append(f"{len(misshapen)} tensors have another shape than the configuration says: {_some(misshapen)}")
    if problems:
        raise CheckpointError("\n".join(f"{path}: {problem}" for problem in problems))
    if broken := [name for name in expected if not _usable(tensors[name])]:
        raise CheckpointError(f"{path}: {len(broken)} tensors hold NaN, infinity or no fractions: {_some(broken)}")


def lossless(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """The tensor in another type where that keeps every value, else as it is."""
    converted = tensor.to(dtype)
    return converted if torch.equal(converted.to(tensor.dtype), tensor) else tensor


def _usable(tensor: Tensor) -> bool:
    return tensor.is_floating_point() and bool(tensor.isfinite().all())


def _some(names: list[str]) -> str:
    more = f", ... and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0][:200]
