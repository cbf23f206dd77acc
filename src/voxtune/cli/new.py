"""`voxtune new FAMILY/TASK -o my.yaml`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def new(
    name: Annotated[str, typer.Argument(metavar="FAMILY/TASK", help="such as fun_asr_nano/asr")],
    output: Annotated[Path, typer.Option("-o", "--output", help="file to write")],
) -> None:
    """Copy a commented recipe to own."""
    from voxtune.errors import RecipeError
    from voxtune.files import write_text
    from voxtune.recipes import read_recipe_text

    text = read_recipe_text(name)
    if output.exists():
        raise RecipeError(f"{output} exists already; choose another name or remove it")
    write_text(output, text)
    typer.echo(f"wrote {output}; set data.train and data.validation, then `voxtune check {output}`")
