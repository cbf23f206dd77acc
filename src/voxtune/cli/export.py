"""`voxtune export RUN -o DIR`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Precision(StrEnum):
    """Of the written weights."""

    bf16 = "bf16"
    fp32 = "fp32"


class Checkpoint(StrEnum):
    """Which checkpoint of a run."""

    best = "best"
    last = "last"


def export(
    run: Annotated[Path, typer.Argument(help="folder of a run")],
    output: Annotated[Path, typer.Option("-o", "--output", help="folder to write; it must not exist, or be empty")],
    target: Annotated[
        str | None,
        typer.Option("--for", help="runtime that shall load it; else the family's first one"),
    ] = None,
    merge: Annotated[bool, typer.Option("--merge", help="fold LoRA into its weights")] = False,
    dtype: Annotated[
        Precision | None,
        typer.Option(help="round all weights to it; else as they are, narrower where that is lossless"),
    ] = None,
    verify: Annotated[bool, typer.Option("--verify", help="load what was written and compare it with the run")] = False,
    checkpoint: Annotated[Checkpoint, typer.Option(help="by validation, or the newest")] = Checkpoint.best,
) -> None:
    """Write a run's model in upstream's own layout."""
    from rich.console import Console

    from voxtune.export import REPORT
    from voxtune.export import export as write

    console = Console()
    with console.status(f"writing {output}"):
        report = write(
            run,
            output,
            target=target,
            checkpoint=checkpoint.value,
            merge=merge,
            dtype=dtype.value if dtype else None,
            verify=verify,
        )
    size = sum(file["bytes"] for file in report["files"].values())
    console.print(f"wrote {output}: step {report['checkpoint']['step']}, {size / 1e6:.1f} MB; see {REPORT}")
    if (proof := report["verification"]) is not None:
        equal = f", all {proof['equal_tensors']} tensors equal" if proof["equal_tensors"] else ""
        console.print(
            f"verified: loaded again, largest difference of the loss on {len(proof['samples'])} samples "
            f"{proof['largest_loss_difference']:.1e} (allowed {proof['tolerance']:g}){equal}"
        )
