"""The report file of `compute-wer` (upstream's `cer.txt`)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from unicodedata import east_asian_width

from voxtune.evaluation.alignment import AlignedPair, Counts
from voxtune.evaluation.compute_wer import Score, rate
from voxtune.files import write_text

_RULE = "=" * 75


def write_cer_report(score: Score, path: Path) -> None:
    """Write `cer.txt`: each utterance aligned, then the totals. `tail -n8` shows the totals."""
    write_text(path, "".join(f"{line}\n" for line in report_lines(score)))


def report_lines(score: Score) -> Iterator[str]:
    """The lines of `cer.txt`."""
    for utterance in score.utterances:
        reference, hypothesis = aligned_rows(utterance.alignment)
        yield f"utt: {utterance.key}"
        yield f"WER: {format_counts(utterance.counts)}"
        yield f"ref: {' '.join(reference)}"
        yield f"hyp: {' '.join(hypothesis)}"
        yield ""
    yield _RULE
    yield f"Overall -> {format_counts(score.counts)}"
    for cluster, counts in score.clusters.items():
        yield f"{cluster} -> {format_counts(counts)}"
    yield f"SER -> {format_sentences(score)}"
    yield _RULE


def aligned_rows(alignment: list[AlignedPair]) -> tuple[list[str], list[str]]:
    """The tokens of both sides, padded so that each column has one width on a terminal."""
    widths = [max(display_width(pair.reference), display_width(pair.hypothesis)) for pair in alignment]
    reference = [_pad(pair.reference, width) for pair, width in zip(alignment, widths, strict=True)]
    hypothesis = [_pad(pair.hypothesis, width) for pair, width in zip(alignment, widths, strict=True)]
    return reference, hypothesis


def display_width(token: str) -> int:
    """Columns on a terminal: two for wide, full-width and ambiguous characters, one for all others."""
    return sum(2 if east_asian_width(character) in "WFA" else 1 for character in token)


def format_counts(counts: Counts) -> str:
    """`16.67 % N=6 Cor=5 Sub=1 Del=0 Ins=0`"""
    return (
        f"{rate(counts) * 100:.2f} % N={counts.reference_length} Cor={counts.correct} "
        f"Sub={counts.substitutions} Del={counts.deletions} Ins={counts.insertions}"
    )


def format_sentences(score: Score) -> str:
    """The sentence error rate. ML are hypotheses without reference, MH are references left out without hypothesis."""
    total, wrong = len(score.utterances), score.wrong_sentences
    scored = {utterance.key for utterance in score.utterances}
    left_out = sum(key not in scored for key in score.missing_hypotheses)
    return (
        f"{wrong / total * 100 if total else 0:.2f} % N={total} Cor={total - wrong} Err={wrong} "
        f"ML={len(score.extra_hypotheses)} MH={left_out}"
    )


def _pad(token: str, width: int) -> str:
    return token + " " * (width - display_width(token))
