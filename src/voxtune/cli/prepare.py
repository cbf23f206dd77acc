"""`voxtune prepare SOURCE… -o data.jsonl`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from voxtune.errors import DataError

if TYPE_CHECKING:
    from voxtune.data.formats.format import TokenCounter


def prepare(
    sources: Annotated[list[Path], typer.Argument(help="data files or folders: what belongs together, or several")],
    output: Annotated[Path, typer.Option("--output", "-o", help="file (or folder) to write; .scp: text beside")],
    source_format: Annotated[
        str | None, typer.Option("--from", help="layout of the sources; else each is recognised by itself")
    ] = None,
    target_format: Annotated[str | None, typer.Option("--to", help="layout to write; else by the ending")] = None,
    tokenizer: Annotated[
        str | None, typer.Option(help="tokenizer folder or hub id; fun_asr_chatml counts text_length with it")
    ] = None,
) -> None:
    """Read data files in any layout and write them in any other."""
    from rich.console import Console
    from rich.text import Text

    from voxtune.data.formats.lines import Problems
    from voxtune.data.manifest import collect_samples, found_files, recognised, write_samples

    console = Console(soft_wrap=True, highlight=False)
    if output.resolve() in [source.resolve() for source in sources]:
        raise DataError(f"{output} is a source and would be overwritten; give another file to write")
    for source in found_files(sources):
        console.print(Text(f"{source}: {source_format or recognised(source)}"))
    problems = Problems()
    samples = collect_samples(sources, source_format, problems)
    problems.raise_errors()
    for (file, key), line in problems.unused.items():
        console.print(Text.assemble(("warning: ", "yellow"), f"{file}:{line}: {key} is not used"))
    try:
        written = write_samples(samples, output, target_format, _token_counter(tokenizer) if tokenizer else None)
    except OSError as error:
        raise DataError(f"{output}: cannot be written ({error.strerror}); give another file") from error
    console.print(Text(f"{len(samples)} samples -> {', '.join(map(str, written))}"))


def _token_counter(source: str) -> TokenCounter:
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(source)
    except (OSError, ValueError) as error:
        raise DataError(f"--tokenizer {source}: no tokenizer can be loaded from there ({error})") from error
    return lambda text: len(tokenizer.tokenize(text))
