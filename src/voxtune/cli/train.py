"""`voxtune train RECIPE [key=value …]`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def train(
    recipe: Annotated[Path, typer.Argument(help="a recipe of yours")],
    overrides: Annotated[list[str] | None, typer.Argument(help="dotted keys, such as train.learning_rate=1e-4")] = None,
) -> None:
    """Start the run of a recipe. The same command continues it."""
    from voxtune.recipe import load_recipe
    from voxtune.training.launch import relaunch
    from voxtune.training.parallel import launched

    loaded = load_recipe(recipe, overrides)
    if loaded.launch.processes > 1 and not launched():
        raise typer.Exit(relaunch(loaded.launch.processes, sys.argv[1:]))

    from voxtune.training.run import train as run

    run(loaded)
