"""The folder of a run: its recipe, its checkpoints, and the model that they make."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import yaml

from voxtune.errors import CheckpointError, RecipeError
from voxtune.families import find
from voxtune.families.family import Family, Layout, Model
from voxtune.files import write_text
from voxtune.recipe import Recipe, Source, load_recipe
from voxtune.training import tuning
from voxtune.training.checkpoints import Checkpoints, Progress, load_trained

RECIPE = "recipe.yaml"

MAY_CHANGE = (
    "launch", "data.workers", "data.feature_cache", "data.feature_cache_gb", "train.output", "train.tokens_per_batch",
    "train.evaluate_every", "train.evaluate_samples", "train.early_stopping", "train.checkpoint_every",
    "train.keep_checkpoints", "train.trackers", "train.activation_checkpointing",
)  # fmt: skip
"""Keys that a continued run may have otherwise than when it began."""


def is_run(folder: Path) -> bool:
    """Whether a folder is that of a run."""
    return (folder / RECIPE).is_file()


def settle(recipe: Recipe) -> None:
    """Write the recipe into its run's folder, or make sure that the run there was begun with the same one.

    Paths are written from the root, so that the run can be used from any folder. Raises RecipeError naming the keys
    that differ.
    """
    path = recipe.train.output / RECIPE
    recipe = _from_the_root(recipe)
    if path.exists():
        began, now = _flat(load_recipe(path).as_dict()), _flat(recipe.as_dict())
        changed = [key for key in sorted(began.keys() | now.keys()) if began.get(key) != now.get(key)]
        changed = [key for key in changed if not key.startswith(MAY_CHANGE)]
        if changed:
            lines = [f"  {key}: began with {began.get(key)!r}, now {now.get(key)!r}" for key in changed]
            raise RecipeError(
                f"{recipe.train.output} holds a run that was begun with another recipe:\n"
                + "\n".join(lines)
                + "\nChoose another train.output for a new run, or put these keys back to continue this one"
            )
    write_text(path, yaml.safe_dump(recipe.as_dict(), allow_unicode=True, sort_keys=False))


def _from_the_root(recipe: Recipe) -> Recipe:
    def absolute(sources: list[Source]) -> list[Source]:
        return [s.model_copy(update={"path": [path.absolute() for path in s.path]}) for s in sources]

    folder = Path(recipe.model.source)
    source = str(folder.absolute()) if folder.is_dir() else recipe.model.source
    data = {"train": absolute(recipe.data.train), "validation": absolute(recipe.data.validation)}
    return recipe.model_copy(
        update={
            "model": recipe.model.model_copy(update={"source": source}),
            "data": recipe.data.model_copy(update=data),
            "train": recipe.train.model_copy(update={"output": recipe.train.output.absolute()}),
        }
    )


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


@dataclass(frozen=True)
class LoadedRun:
    """A run's model with the weights of one of its checkpoints. LoRA is in place, not merged."""

    recipe: Recipe
    family: Family
    model: Model
    layout: Layout
    progress: Progress


def load_run(folder: Path, which: Literal["best", "last"] = "best") -> LoadedRun:
    """Load a run: its source model, with the weights of its best or last checkpoint.

    Raises CheckpointError when the folder is no run or has no usable checkpoint.
    """
    if not is_run(folder):
        raise CheckpointError(f"{folder}: not the folder of a run (no {RECIPE})")
    recipe = load_recipe(folder / RECIPE)
    family = find(recipe.model.family)
    checkpoints = Checkpoints(folder, recipe.train.keep_checkpoints)
    found = checkpoints.best() if which == "best" else checkpoints.newest()
    if found is None:
        raise CheckpointError(f"{folder}: no checkpoint yet; `voxtune train` writes one")
    path, progress = found
    model = family.load(recipe.model.source, recipe.model.options, dtype=torch.float32)
    tuning.apply(model, family, recipe.tune, learning_rate=recipe.train.learning_rate)
    load_trained(model, path)
    model.eval()
    return LoadedRun(recipe, family, model, family.layout(model, recipe.model.options, recipe.data.task), progress)
