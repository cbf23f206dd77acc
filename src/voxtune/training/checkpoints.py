"""Checkpoints of a run: trained weights, optimiser and step; the order and the random numbers follow from the step.

A checkpoint is a folder `checkpoints/step-00000100` that appears whole: `model.safetensors` (trained tensors only),
`optimizer.pt` (read with weights_only) and `state.json` (step, metrics, SHA-256 of the other two).
"""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from voxtune.errors import CheckpointError
from voxtune.files import atomic_folder, sha256, write_json
from voxtune.training.step import Trainer

logger = logging.getLogger(__name__)

WEIGHTS = "model.safetensors"
OPTIMIZER = "optimizer.pt"
STATE = "state.json"


@dataclass
class Progress:
    """How far a run is. `step`: optimiser steps taken; `skipped_in_a_row`: steps not applied for want of finite
    numbers; `metrics`: of the newest evaluation; `waited`: evaluations since the best one; `finished`: nothing is left
    to do."""

    step: int = 0
    tokens: int = 0
    audio_seconds: float = 0.0
    skipped_in_a_row: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    best_step: int | None = None
    best_value: float | None = None
    waited: int = 0
    finished: bool = False


class Checkpoints:
    """The checkpoint folders of one run."""

    def __init__(self, output: Path, keep: int) -> None:
        self.folder = output / "checkpoints"
        self.keep = keep

    def path(self, step: int) -> Path:
        """Folder of the checkpoint of a step."""
        return self.folder / f"step-{step:08d}"

    def steps(self) -> list[int]:
        """Steps that have a checkpoint, oldest first."""
        return sorted(int(path.name.removeprefix("step-")) for path in self.folder.glob("step-*"))

    def save(self, trainer: Trainer, progress: Progress) -> None:
        """Write the checkpoint of `progress.step`, then remove those beyond the newest `keep` and the best."""
        if self.path(progress.step).exists():
            return
        with atomic_folder(self.path(progress.step)) as folder:
            save_file(trained_state(trainer.model), folder / WEIGHTS)
            torch.save(trainer.state_dict(), folder / OPTIMIZER)
            digests = {name: sha256(folder / name) for name in (WEIGHTS, OPTIMIZER)}
            write_json(folder / STATE, {"progress": asdict(progress), "sha256": digests})
        for step in self.steps()[: -self.keep]:
            if step != progress.best_step:
                shutil.rmtree(self.path(step))

    def newest(self) -> tuple[Path, Progress] | None:
        """The newest undamaged checkpoint. A damaged one is named in a warning and set aside."""
        for step in reversed(self.steps()):
            path = self.path(step)
            try:
                return path, verify(path)
            except CheckpointError as error:
                aside = path.with_name(f"damaged-{path.name}")
                logger.warning("%s; moved to %s, the one before it is used", error, aside.name)
                shutil.rmtree(aside, ignore_errors=True)
                path.rename(aside)
        return None

    def best(self) -> tuple[Path, Progress]:
        """The checkpoint with the best evaluation; the newest when none was evaluated. CheckpointError if none."""
        found = self.newest()
        if found is None:
            raise CheckpointError(f"{self.folder}: no checkpoint; train first")
        _, progress = found
        if progress.best_step is None or not self.path(progress.best_step).exists():
            return found
        path = self.path(progress.best_step)
        return path, verify(path)


def verify(path: Path) -> Progress:
    """Read a checkpoint's state after checking its files. Raises CheckpointError when they are damaged."""
    try:
        state = json.loads((path / STATE).read_text(encoding="utf-8"))
        damaged = [name for name, digest in state["sha256"].items() if sha256(path / name) != digest]
        progress = Progress(**state["progress"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: damaged checkpoint ({error})") from error
    if damaged:
        raise CheckpointError(f"{path}: damaged checkpoint ({', '.join(damaged)} changed since it was written)")
    return progress


def trained_state(model: nn.Module) -> dict[str, Tensor]:
    """Trained parameters by name, each once."""
    return {n: p.detach().cpu().contiguous() for n, p in model.named_parameters() if p.requires_grad}


def load_trained(model: nn.Module, path: Path) -> None:
    """Put a checkpoint's weights into the parameters that are trained. Every name must be there, and no other."""
    saved = load_file(path / WEIGHTS)
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if odd := sorted(saved.keys() ^ parameters.keys()):
        raise CheckpointError(f"{path}: does not fit the recipe's trained parameters, first difference: {odd[0]}")
    with torch.no_grad():
        for name, parameter in parameters.items():
            if parameter.shape != saved[name].shape:
                shapes = f"{tuple(saved[name].shape)}, the model has {tuple(parameter.shape)}"
                raise CheckpointError(f"{path}: {name} is {shapes}")
            parameter.copy_(saved[name])


def resume(trainer: Trainer, path: Path) -> None:
    """Put a checkpoint's weights and optimiser state into a trainer."""
    load_trained(trainer.model, path)
    trainer.load_state_dict(torch.load(path / OPTIMIZER, weights_only=True, map_location="cpu"))
