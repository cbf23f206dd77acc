"""What the Fun-ASR-Nano cases share: reading tensors, leaving padding away, comparing gradients."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from voxtune.parts.attention import Segments

FAMILY = "fun-asr-nano"
CPU = torch.device("cpu")


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def read_tensors(folder: Path, name: str) -> dict[str, Tensor]:
    return load_file(folder / f"{name}.safetensors")


def valid(rows: Tensor, lengths: list[int]) -> Tensor:
    """Padded rows [batch, longest, ...] laid end to end, padding left away."""
    return torch.cat([row[:length] for row, length in zip(rows, lengths, strict=True)])


def segments(lengths: list[int]) -> Segments:
    return Segments(lengths, CPU)


def assert_close(ours: Tensor, theirs: Tensor, tolerance: float, what: str) -> None:
    assert ours.shape == theirs.shape, f"{what}: {tuple(ours.shape)} instead of {tuple(theirs.shape)}"
    difference = (ours - theirs).abs().max().item()
    assert difference <= tolerance, f"{what} differs by {difference:.2e}"


def assert_gradient(ours: Tensor | None, theirs: Tensor, tolerance: float, what: str, scale: float) -> None:
    """Tolerance relative to the largest entry. `scale`: largest entry of all gradients; a gradient that is zero but
    for rounding (a key's bias) is held to a millionth of it."""
    assert ours is not None, f"{what} has no gradient"
    assert_close(ours, theirs, max(tolerance * theirs.abs().max().item(), 1e-6 * scale), what)


def largest_gradient(outputs: dict[str, Tensor]) -> float:
    return max(value.abs().max().item() for name, value in outputs.items() if name.startswith("grad"))
