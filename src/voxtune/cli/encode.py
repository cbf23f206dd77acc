"""`voxtune encode RECIPE [key=value …]`."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from voxtune.recipe import Recipe
    from voxtune.training.parallel import Parallel


class Form(StrEnum):
    """Upstream's files of codes and text."""

    parquet = "parquet"
    npz = "npz"


def encode(
    recipe: Annotated[Path, typer.Argument(help="a recipe of yours")],
    overrides: Annotated[list[str] | None, typer.Argument(help="dotted keys, such as data.feature_cache=DIR")] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="new folder for codes and text as upstream's files, too")
    ] = None,
    to: Annotated[Form, typer.Option(help="which of upstream's files")] = Form.parquet,
) -> None:
    """Compute the frozen features or codes that the run of a recipe will read. The same command goes on where it
    stopped."""
    from voxtune.recipe import load_recipe
    from voxtune.training.launch import relaunch
    from voxtune.training.parallel import launched

    loaded = load_recipe(recipe, overrides)
    if loaded.launch.processes > 1 and not launched():
        raise typer.Exit(relaunch(loaded.launch.processes, sys.argv[1:]))

    from voxtune.training.parallel import processes

    with processes() as parallel:
        _encode(loaded, parallel, output, to)


def _encode(recipe: Recipe, parallel: Parallel, output: Path | None, to: Form) -> None:
    from rich.console import Console

    from voxtune.encoding import fill_cache, open_cache, trained_parts
    from voxtune.errors import RecipeError
    from voxtune.token_files import write_token_files
    from voxtune.training.assembly import assemble
    from voxtune.training.loading import Packs

    if recipe.data.feature_cache_gb == 0:
        raise RecipeError("data.feature_cache_gb = 0 leaves no room for features; raise it")
    console = Console(quiet=not parallel.is_main)
    made = assemble(recipe, parallel)
    encoder = made.family.frozen_encoder(made.model, made.layout, trained_parts(made.family, made.model))
    if encoder is None:
        raise RecipeError(
            f"nothing can be encoded ahead: tune.parts {made.recipe.tune.parts} trains the audio encoder, or an option "
            "of the model section (noise, masking) makes its input other each time"
        )
    cache = open_cache(recipe, encoder)
    samples = [*made.corpus.samples, *made.validation.samples]
    report = fill_cache(recipe, made.layout, encoder, cache, samples, parallel, console)
    console.print(
        f"{report.encoded} recordings encoded ({report.seconds_of_audio / 3600:.2f} h, {report.bytes / 1e6:.1f} MB), "
        f"{report.cached_already} were there, {report.skipped_full} did not fit"
    )
    if output is not None and parallel.is_main:
        corpora = {"train": made.corpus, "validation": made.validation}
        splits = {
            name: Packs(corpus, made.layout, cache, recipe.train.seed)
            for name, corpus in corpora.items()
            if corpus.samples
        }
        console.print(f"{write_token_files(splits, output, to.value)} dialogues -> {output}")
