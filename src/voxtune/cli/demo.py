"""`voxtune demo [FAMILY]`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    family: Annotated[str, typer.Argument(help="a family of models")] = "fun_asr_nano",
    output: Annotated[Path, typer.Option("-o", "--output", help="folder to write to")] = Path("runs/demo"),
) -> None:
    """The whole story on built-in data: transcribe, fine-tune, compare, export. No network, no GPU."""
    from rich.console import Console

    from voxtune.demo import tell
    from voxtune.errors import VoxtuneError

    if output.exists() and any(output.iterdir()):
        raise VoxtuneError(f"{output} holds an earlier demo; remove it or choose another folder with -o")
    console = Console()
    summary = tell(family, output, console)
    console.rule("Done")
    console.print(
        f"WER {summary.wer_before:.1%} before, {summary.wer_after:.1%} after, in {summary.seconds:.0f} s. "
        f"Look at {output / 'report.html'}"
    )
