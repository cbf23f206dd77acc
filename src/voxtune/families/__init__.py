"""Families of models: one folder each, found by scanning this package and by the entry points `voxtune.families`."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from voxtune.errors import RecipeError

if TYPE_CHECKING:
    from voxtune.families.family import Family

ENTRY_POINTS = "voxtune.families"
"""Another package offers a family as `name = "its.module:FAMILY"`."""


def names() -> list[str]:
    """Names of all families that are installed."""
    return sorted({*_folders(), *entry_points(group=ENTRY_POINTS).names})


def find(name: str) -> Family:
    """The family of this name. Raises RecipeError naming the nearest one when there is none."""
    family: Family
    if name in _folders():
        family = importlib.import_module(f"{__name__}.{name}").FAMILY
        return family
    for entry in entry_points(group=ENTRY_POINTS, name=name):
        family = entry.load()
        return family
    nearest = difflib.get_close_matches(name, names(), n=1)
    hint = f"did you mean {nearest[0]}?" if nearest else f"there are {', '.join(names())}"
    raise RecipeError(f"unknown model family {name!r}; {hint}")


def _folders() -> list[str]:
    return [module.name for module in pkgutil.iter_modules(__path__) if module.ispkg]
