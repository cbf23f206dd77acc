"""From a recipe to a run: data, model, what is trained, where it was; then the loop."""

from __future__ import annotations

import logging

from rich.console import Console
from rich.logging import RichHandler

from voxtune.data.plan import Plan
from voxtune.encoding import prepare_cache
from voxtune.recipe import Recipe
from voxtune.training.assembly import assemble
from voxtune.training.checkpoints import Checkpoints, Progress, resume
from voxtune.training.loading import Packs, training_steps
from voxtune.training.loop import Run, fit
from voxtune.training.monitor import Monitor
from voxtune.training.optim import adamw
from voxtune.training.parallel import Parallel, processes
from voxtune.training.run_folder import settle
from voxtune.training.step import Trainer
from voxtune.training.trackers import open_trackers
from voxtune.training.validation import Validation


def train(recipe: Recipe, console: Console | None = None) -> Progress:
    """Start the run of a recipe, or continue it from its newest checkpoint; returns how far it came.

    Raises RecipeError, DataError or CheckpointError when the run cannot begin, VoxtuneError when it cannot go on.
    """
    with processes() as parallel:
        console = console or Console(quiet=not parallel.is_main)
        logging.basicConfig(
            level=logging.INFO,
            format="%(message)s",
            handlers=[RichHandler(console=console, show_time=False, show_path=False)],
        )
        return _train(recipe, parallel, console)


def _train(recipe: Recipe, parallel: Parallel, console: Console) -> Progress:
    made = assemble(recipe, parallel)
    recipe, corpus, validation, layout = made.recipe, made.corpus, made.validation, made.layout
    output = recipe.train.output
    if parallel.is_main:
        settle(recipe)
    parallel.wait()
    everything = [*corpus.samples, *validation.samples]
    cache = prepare_cache(recipe, made.family, made.model, layout, everything, parallel, console)

    plan = corpus.plan(recipe)
    total_steps = steps_in_all(recipe, plan)
    trainer = Trainer(made.model, adamw(made.groups, recipe.train), recipe.train, total_steps, parallel)
    checkpoints = Checkpoints(output, recipe.train.keep_checkpoints)
    progress = Progress()
    if (found := checkpoints.newest()) is not None:
        path, progress = found
        resume(trainer, path)
        console.print(f"continuing from step {progress.step} of {total_steps}")
    if progress.finished:
        console.print(f"finished already at step {progress.step}; for more, raise train.epochs and change train.output")
        return progress

    trackers = open_trackers(list(recipe.train.trackers), output, recipe.as_dict()) if parallel.is_main else []
    with Monitor(output, total_steps, progress.step, trackers, console, is_main=parallel.is_main) as monitor:
        dataset = Packs(validation, layout, cache, recipe.train.seed)
        evaluate = Validation(trainer, dataset, made.family, recipe.data.workers, monitor)
        steps = training_steps(
            Packs(corpus, layout, cache, recipe.train.seed),
            plan,
            progress.step,
            recipe.train.tokens_per_batch,
            rank=parallel.rank,
            world=parallel.world,
            workers=recipe.data.workers,
        )
        return fit(
            Run(
                trainer=trainer,
                train=recipe.train,
                total_steps=total_steps,
                steps=steps,
                evaluate=evaluate if validation.samples else None,
                checkpoints=checkpoints,
                monitor=monitor,
                progress=progress,
            )
        )


def steps_in_all(recipe: Recipe, plan: Plan) -> int:
    """Optimiser steps of a whole run."""
    steps = sum(len(plan.steps(epoch)) for epoch in range(recipe.train.epochs))
    return min(steps, recipe.train.max_steps or steps)
