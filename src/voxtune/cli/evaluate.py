"""`voxtune evaluate`: compare transcripts with references."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from voxtune.errors import VoxtuneError
from voxtune.files import write_json

if TYPE_CHECKING:
    from voxtune.evaluation.alignment import Counts
    from voxtune.evaluation.comparison import Comparison
    from voxtune.evaluation.error_rate import UtteranceErrors

WORST = 5
NAMED_KEYS = 10


def evaluate(
    ref: Annotated[Path, typer.Option(help="References: one utterance per line, its key and its text.")],
    hyp: Annotated[Path, typer.Option(help="What was recognised, in the same form.")],
    lang: Annotated[str, typer.Option(help="Language code, like zh or en: says if words or characters are counted.")],
    report: Annotated[Path | None, typer.Option(help="Write the alignments and totals, as `compute-wer` does.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write all numbers and the table of utterances.")] = None,
    kana: Annotated[bool, typer.Option("--kana", help="Compare Japanese by its reading in katakana.")] = False,
    normalize: Annotated[bool, typer.Option(help="Normalise both sides before they are compared.")] = True,
) -> None:
    """Print error rates: the upstream way, to compare with published numbers, and the modern way."""
    from voxtune.evaluation.cer_report import write_cer_report
    from voxtune.evaluation.comparison import compare, to_json
    from voxtune.evaluation.keyed_text import read_keyed_text

    for output in (report, json):
        if output is not None and output.resolve() in (ref.resolve(), hyp.resolve()):
            raise VoxtuneError(f"{output} is an input and would be overwritten: give another file to write")
    references, hypotheses = read_keyed_text(ref), read_keyed_text(hyp)
    comparison = compare(references, hypotheses, lang, normalized=normalize, kana=kana)

    warnings = Console(stderr=True, soft_wrap=True, highlight=False)
    missing, extra = comparison.missing_hypotheses, comparison.extra_hypotheses
    _print_keys(
        warnings, [f"{references.where(key)}: {key!r} has no hypothesis: counted as deleted" for key in missing]
    )
    _print_keys(warnings, [f"{hypotheses.where(key)}: {key!r} has no reference: left out" for key in extra])
    if report is not None:
        with _writing(report):
            write_cer_report(comparison.upstream, report)
    if json is not None:
        with _writing(json):
            write_json(json, to_json(comparison))
    _print_results(Console(), comparison)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise VoxtuneError(f"{path}: cannot be written ({error.strerror}): give another file") from error


def _print_keys(console: Console, messages: Sequence[str]) -> None:
    for message in messages[:NAMED_KEYS]:
        console.print(Text.assemble(("warning: ", "yellow"), message))
    if len(messages) > NAMED_KEYS:
        console.print(Text(f"and {len(messages) - NAMED_KEYS} more; --json FILE lists all"))


def _print_results(console: Console, comparison: Comparison) -> None:
    from voxtune.evaluation.compute_wer import rate

    upstream, modern = comparison.upstream, comparison.modern
    table = Table("", "rate", "95% interval", "N", "Cor", "Sub", "Del", "Ins")
    for column in table.columns[1:]:
        column.justify = "right"
    table.add_row("upstream WER", f"{rate(upstream.counts):.2%}", "", *_numbers(upstream.counts))
    if len(upstream.clusters) > 1:
        for cluster, counts in upstream.clusters.items():
            table.add_row(f"  {cluster}", f"{rate(counts):.2%}", "", *_numbers(counts))
    sentences, wrong = len(upstream.utterances), upstream.wrong_sentences
    table.add_row("upstream SER", f"{wrong / sentences:.2%}", "", str(sentences), str(sentences - wrong))
    name = "CER" if modern.unit == "char" else "WER"
    interval = f"{modern.low:.2%} to {modern.high:.2%}"
    table.add_row(name, f"{modern.rate:.2%}", interval, *_numbers(modern.counts), style="bold")
    console.print(table)
    for utterance in modern.worst(WORST):
        console.print(_difference(utterance, "" if modern.unit == "char" else " "), soft_wrap=True)


def _numbers(counts: Counts) -> list[str]:
    columns = (counts.reference_length, counts.correct, counts.substitutions, counts.deletions, counts.insertions)
    return [str(column) for column in columns]


def _difference(utterance: UtteranceErrors, separator: str) -> Text:
    """The two texts of an utterance, one below the other, with what differs in colour."""
    counts = utterance.counts
    said, heard = Text(), Text()
    for pair in utterance.alignment:
        wrong = pair.operation != "equal"
        if pair.reference:
            said.append(pair.reference, "red" if wrong else "").append(separator)
        if pair.hypothesis:
            heard.append(pair.hypothesis, "green" if wrong else "").append(separator)
    title = f"\n{utterance.key}: {counts.errors} errors in {counts.reference_length}"
    return Text.assemble((title, "bold"), "\n  ref ", said, "\n  hyp ", heard)
