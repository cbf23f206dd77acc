"""A process in upstream's environment that answers requests, so that both sides are measured by turns in one run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import voxtune

ROOT = Path(__file__).resolve().parents[1]


class Upstream:
    """`python -m MODULE ARGUMENTS` in another environment, on one thread, with ours readable beside it.

    The module calls `answer`. Its output is shown; when it ends before it was told to, an answer raises EOFError.
    """

    def __init__(self, python: Path, module: str, *arguments: str | Path) -> None:
        paths = os.pathsep.join([str(ROOT), str(Path(voxtune.__file__).resolve().parents[1])])
        self.process = subprocess.Popen(
            [str(python), "-m", module, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": paths, "NO_TORCH_COMPILE": "1", "OMP_NUM_THREADS": "1"},
        )

    def ask(self, request: dict[str, Any]) -> Any:
        """The answer to a request, both of them plain values."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise EOFError(f"upstream's process ended with code {self.process.wait()}; its messages are above")
        return json.loads(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.communicate()


def answer(handle: Callable[[dict[str, Any]], Any]) -> None:
    """In upstream's process: answer requests until there are no more. What `handle` prints goes to standard error."""
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        answers.write(json.dumps(handle(json.loads(line))) + "\n")
        answers.flush()
