"""The recipes that ship with the package: `<family>/<task>.yaml`."""

from __future__ import annotations

import difflib
from importlib.resources import files

from voxtune.errors import RecipeError


def recipe_names() -> list[str]:
    """Names of the recipes that ship: `family/task`."""
    families = [folder for folder in files(__name__).iterdir() if folder.is_dir() and not folder.name.startswith("_")]
    return sorted(
        f"{folder.name}/{file.name.removesuffix('.yaml')}"
        for folder in families
        for file in folder.iterdir()
        if file.name.endswith(".yaml")
    )


def read_recipe_text(name: str) -> str:
    """Text of a recipe. Raises RecipeError naming the nearest when there is no such recipe."""
    names = recipe_names()
    if name not in names:
        nearest = difflib.get_close_matches(name, names, n=1, cutoff=0.3)
        hint = f"did you mean {nearest[0]}?" if nearest else "there are: " + ", ".join(names)
        raise RecipeError(f"no recipe {name!r}; {hint}")
    return files(__name__).joinpath(f"{name}.yaml").read_text(encoding="utf-8")
