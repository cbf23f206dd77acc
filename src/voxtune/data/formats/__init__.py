"""Data layouts: one file each, reader and writer, found by scanning this folder."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from voxtune.data.formats.format import Format


@cache
def formats() -> dict[str, Format]:
    """All layouts by name."""
    modules = [importlib.import_module(f"{__name__}.{info.name}") for info in pkgutil.iter_modules(__path__)]
    found = [module.FORMAT for module in modules if hasattr(module, "FORMAT")]
    return {layout.name: layout for layout in found}
