"""`voxtune demo [FAMILY]`."""

from __future__ import annotations

from itertools import chain, count
from pathlib import Path
from typing import Annotated

import typer


def demo(
    family: Annotated[str, typer.Argument(help="a family of models")] = "fun_asr_nano",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="folder to write to; else runs/demo, runs/demo-2, ...")
    ] = None,
) -> None:
    """The whole story on built-in data: train, compare with held-out data, export. No network, no GPU."""
    from rich.console import Console

    from voxtune.demo import tell
    from voxtune.errors import VoxtuneError

    output = output or _free_folder()
    if output.exists() and any(output.iterdir()):
        raise VoxtuneError(f"{output} holds an earlier demo; remove it or choose another folder with -o")
    console = Console()
    reached = tell(family, output, console)
    console.rule("Done")
    console.print(f"{reached} Look at {output / 'report.html'}")


def _free_folder() -> Path:
    numbered = (Path(f"runs/demo-{number}") for number in count(2))
    return next(path for path in chain([Path("runs/demo")], numbered) if not path.exists())
