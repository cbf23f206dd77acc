"""Finds the recorded cases: `$VOXTUNE_GOLDEN/<family>/<component>*/`."""

from __future__ import annotations

import os
from pathlib import Path


def golden_folder() -> Path | None:
    """The folder named by VOXTUNE_GOLDEN, or None when the variable is unset."""
    value = os.environ.get("VOXTUNE_GOLDEN")
    return Path(value).resolve() if value else None


def cases(family: str, component: str) -> list[Path]:
    """All folders of cases of a component: its own name, or its name followed by `_` or `-` and anything."""
    root = golden_folder()
    if root is None:
        return []
    return sorted(
        folder
        for folder in (root / family).iterdir()
        if folder.is_dir() and (folder.name == component or folder.name.startswith((f"{component}_", f"{component}-")))
    )
