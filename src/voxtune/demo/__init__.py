"""The whole story on built-in data: one folder a family, with its speech and `story.py`."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from pathlib import Path

from rich.console import Console

from voxtune.errors import RecipeError


def families() -> list[str]:
    """Families that have a demo."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.ispkg)


def tell(family: str, output: Path, console: Console) -> str:
    """Run the demo of a family, which writes `report.html` and `summary.json` into `output`; returns what was reached
    in one line. Raises RecipeError naming the nearest when the family has none."""
    if family not in families():
        nearest = difflib.get_close_matches(family, families(), n=1)
        hint = f"did you mean {nearest[0]}?" if nearest else f"there are {', '.join(families())}"
        raise RecipeError(f"no demo of {family!r}; {hint}")
    reached: str = importlib.import_module(f"{__name__}.{family}.story").run(output, console)
    return reached
