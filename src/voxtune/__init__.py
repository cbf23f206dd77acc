"""voxtune: fine-tune speech language models. What you train is what upstream runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from voxtune.api import load

__version__ = "0.1.0"
__all__ = ["__version__", "load"]


def __getattr__(name: str) -> Any:
    """`voxtune.load` opens what needs torch when it is first used, so that `import voxtune` is quick."""
    if name == "load":
        from voxtune.api import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
