"""From a recipe to its pieces: data, model, and what of the model is trained."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import torch

from voxtune.errors import RecipeError
from voxtune.families import find
from voxtune.families.family import Family, Layout, Model
from voxtune.recipe import Recipe
from voxtune.training import tuning
from voxtune.training.corpus import SKIPPED, Corpus, read_corpora
from voxtune.training.parallel import Parallel
from voxtune.training.tuning import ParameterGroup

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Assembly:
    """The pieces of a run. The recipe names the parts that `auto` stands for; the model is on its device."""

    recipe: Recipe
    family: Family
    model: Model
    layout: Layout
    corpus: Corpus
    validation: Corpus
    groups: list[ParameterGroup]


def assemble(recipe: Recipe, parallel: Parallel) -> Assembly:
    """Read the data, load the model and freeze what is not trained.

    Raises RecipeError, DataError or CheckpointError when a run cannot begin.
    """
    family = find(recipe.model.family)
    _check_measures(recipe, family)
    model = family.load(recipe.model.source, recipe.model.options, dtype=torch.float32)
    layout = family.layout(model, recipe.model.options, recipe.data.task)
    skipped = recipe.train.output / SKIPPED if parallel.is_main else None
    corpus, validation = read_corpora(recipe, layout, skipped)
    recipe = _with_parts(recipe, family.parts_for(corpus.hours, recipe.tune.method))
    groups = tuning.apply(model, family, recipe.tune, recipe.train.learning_rate, seed=recipe.train.seed)
    tuning.prepare(model, recipe.train)
    model.to(parallel.device)
    return Assembly(recipe, family, model, layout, corpus, validation, groups)


def _check_measures(recipe: Recipe, family: Family) -> None:
    train = recipe.train
    if train.best != "error_rate" or not recipe.data.validation:
        return
    if "transcribe" not in family.verbs:
        raise RecipeError(f"train.best: {family.name} does not transcribe and has no error_rate; choose loss")
    if not train.evaluate_samples:
        raise RecipeError("train.best: error_rate needs train.evaluate_samples above 0")


def _with_parts(recipe: Recipe, parts: list[str]) -> Recipe:
    if recipe.tune.parts != "auto":
        return recipe
    logger.info("tune.parts: auto trains %s", ", ".join(parts))
    return recipe.model_copy(update={"tune": recipe.tune.model_copy(update={"parts": parts})})
