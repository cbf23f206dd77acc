"""The `voxtune` command. Each verb is a file of this folder, imported only when it is called."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click
import typer
from rich.console import Console

from voxtune.errors import VoxtuneError

VERBS = {
    "demo": "The whole story on built-in data: transcribe, fine-tune, compare, export.",
    "new": "Copy a commented recipe to own.",
    "prepare": "Turn any data layout into any other.",
    "check": "Say what is wrong with the data of a recipe, or with data files.",
    "encode": "Compute frozen features ahead of training.",
    "train": "Start a run, or resume it with the same command.",
    "export": "Write a run in upstream's own layout.",
    "transcribe": "Speech to text, with a run, an export or a published checkpoint.",
    "evaluate": "Word and character error rates, the upstream way and the modern way.",
}


class LazyVerbs(click.Group):
    """Lists the verbs without importing what they need, so that `--help` answers at once."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module: Any = importlib.import_module(f"voxtune.cli.{cmd_name}")
        app = typer.Typer(add_completion=False)
        app.command(name=cmd_name, help=VERBS[cmd_name])(getattr(module, cmd_name))
        return typer.main.get_command(app)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))


@click.group(cls=LazyVerbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="voxtune")
def app() -> None:
    """Fine-tune speech language models: what you train is what upstream runs."""


def main() -> None:
    """Run the command line; a VoxtuneError becomes one message and exit code 1."""
    try:
        app(standalone_mode=True)
    except VoxtuneError as error:
        Console(stderr=True, soft_wrap=True).print(f"[bold red]error:[/] {click.style(str(error))}", highlight=False)
        sys.exit(1)
