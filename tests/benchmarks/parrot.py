"""A program that `Upstream` can start."""

from __future__ import annotations

from typing import Any

from benchmarks.upstream_process import answer


def handle(request: dict[str, Any]) -> Any:
    """Say the word, and answer with it."""
    print(request["say"])
    if request["say"] == "farewell":
        raise SystemExit(3)
    return {"said": request["say"]}


if __name__ == "__main__":
    answer(handle)
