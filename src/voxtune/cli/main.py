"""The `voxtune` command: each verb is a file of this folder, which imports what it needs when it is called."""

from __future__ import annotations

import importlib
import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from voxtune import __version__
from voxtune.errors import VoxtuneError

VERBS = ("demo", "new", "prepare", "check", "encode", "train", "export", "transcribe", "converse", "evaluate", "serve")

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _verb in VERBS:
    app.command(_verb)(getattr(importlib.import_module(f"voxtune.cli.{_verb}"), _verb))


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"voxtune {__version__}")
        raise typer.Exit


@app.callback()
def voxtune(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Fine-tune speech language models: what you train is what upstream runs."""


def main() -> None:
    """Run the command line; a VoxtuneError becomes one message and exit code 1."""
    try:
        app()
    except VoxtuneError as error:
        message = Text.assemble(("error: ", "bold red"), str(error))
        Console(stderr=True, soft_wrap=True, highlight=False).print(message)
        sys.exit(1)
