"""`voxtune check RECIPE [key=value …]` or `voxtune check DATA…`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from voxtune.errors import DataError

if TYPE_CHECKING:
    from rich.console import Console

    from voxtune.checking import Finding, Report
    from voxtune.checking.report import Percentiles

SHOWN = 50
RECIPES = (".yaml", ".yml")


def check(
    target: Annotated[list[str], typer.Argument(help="a recipe (.yaml) and dotted keys, or data files in any layout")],
    source_format: Annotated[
        str | None, typer.Option("--from", help="layout of the data files; else each is recognised by itself")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Read headers and texts only; nothing is decoded.")] = False,
    json: Annotated[Path | None, typer.Option(help="Write all findings and numbers to this file.")] = None,
) -> None:
    """Say what is wrong with the data of a recipe, or with data files. Exits with 1 when there are errors."""
    from rich.console import Console

    from voxtune.checking import check_files, check_recipe
    from voxtune.files import write_text

    console = Console(soft_wrap=True, highlight=False)
    if Path(target[0]).suffix in RECIPES:
        from voxtune.recipe import load_recipe

        report = check_recipe(load_recipe(Path(target[0]), target[1:]), quick=quick, console=console)
    else:
        report = check_files([Path(file) for file in target], source_format, quick=quick, console=console)
    _print_findings(console, report.errors, "error", "red")
    _print_findings(console, report.warnings, "warning", "yellow")
    _print_statistics(console, report)
    if json is not None:
        try:
            write_text(json.absolute(), report.model_dump_json(indent=2) + "\n")
        except OSError as error:
            raise DataError(f"{json}: cannot be written ({error.strerror}); give another file") from error
    if report.errors:
        raise typer.Exit(1)


def _print_findings(console: Console, findings: Sequence[Finding], word: str, colour: str) -> None:
    from rich.text import Text

    for finding in findings[:SHOWN]:
        console.print(Text.assemble((f"{word}: ", colour), str(finding)))
    if len(findings) > SHOWN:
        console.print(Text(f"... and {len(findings) - SHOWN} more {word}s; --json FILE lists all"))


def _print_statistics(console: Console, report: Report) -> None:
    from rich.table import Table

    table = Table("", *report.statistics)
    for column in table.columns[1:]:
        column.justify = "right"
    found = list(report.statistics.values())
    table.add_row("samples", *(str(split.samples) for split in found))
    table.add_row("hours", *(f"{split.hours:.2f}" for split in found))
    table.add_row("seconds: min 5% 50% 95% max", *(_spread(split.seconds, 1) for split in found))
    table.add_row(
        "sample rates", *(", ".join(f"{n} x {r} Hz" for r, n in split.sample_rates.items()) for split in found)
    )
    if any(split.tokens for split in found):
        table.add_row("tokens: min 5% 50% 95% max", *(_spread(split.tokens, 0) for split in found))
        table.add_row("tokens with a loss", *(str(split.label_tokens or 0) for split in found))
        table.add_row("cost (tokens_per_step)", *(str(split.cost or 0) for split in found))
        table.add_row("padding: batches of 16", *(f"{split.padding_of_16 or 0:.0%}" for split in found))
        table.add_row("padding: packed", *("0%" for _ in found))
    if any(split.steps for split in found):
        table.add_row("steps in an epoch", *(str(split.steps or "") for split in found))
    console.print(table)
    if report.parts is not None:
        hours = report.statistics["train"].hours
        console.print(f"with {hours:.1f} h of training data, train: {', '.join(report.parts)} (tune.parts: auto does)")
    console.print(f"{len(report.errors)} errors, {len(report.warnings)} warnings")


def _spread(values: Percentiles | None, digits: int) -> str:
    if values is None:
        return ""
    numbers = (values.least, values.p5, values.median, values.p95, values.most)
    return "  ".join(f"{number:.{digits}f}" for number in numbers)
