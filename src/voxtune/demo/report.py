"""The page of a demo: what was reached, how the loss fell, and every test utterance to read and to hear."""

from __future__ import annotations

import base64
from html import escape
from pathlib import Path
from typing import Any

from voxtune.demo.charts import bars, curve
from voxtune.demo.summary import Summary, TestSet
from voxtune.evaluation.error_rate import UtteranceErrors
from voxtune.files import write_text

STYLE = """
:root { --ink: #1d2433; --dim: #667085; --line: #e4e7ec; --before: #d97757; --after: #2f7d6d; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); max-width: 1000px; margin: 2.5rem auto;
  padding: 0 1rem }
h1 { font-size: 1.5rem; margin: 0 } h2 { font-size: 1.1rem; margin: 2.5rem 0 .5rem }
p, .dim { color: var(--dim) } .charts { display: flex; gap: 2rem; flex-wrap: wrap } svg { max-width: 100% }
table { border-collapse: collapse; width: 100% } td, th { text-align: left; padding: .45rem .6rem; vertical-align: top }
tr { border-bottom: 1px solid var(--line) } th { font-weight: 600; color: var(--dim); font-size: .85rem }
audio { width: 210px; height: 32px } .number { text-align: right; font-variant-numeric: tabular-nums }
del { color: #b42318; background: #fef3f2; text-decoration: line-through }
ins { color: #175cd3; background: #eff8ff; text-decoration: none }
"""


def write_report(
    path: Path, summary: Summary, sets: list[TestSet], log: list[dict[str, Any]], recordings: dict[str, Path]
) -> None:
    """Write the page, with charts and sound inside, as one file."""
    low, high = summary.wer_after_interval
    losses = [(line["step"], line["loss"]) for line in log if "loss" in line]
    validation = [(line["step"], line["validation_loss"]) for line in log if "validation_loss" in line]
    sections = [
        f"<h1>Word error rate {summary.wer_before:.1%} before, {summary.wer_after:.1%} after</h1>",
        f"<p>{summary.steps} steps in {summary.training_seconds:.0f} s; the whole demo took {summary.seconds:.0f} s. "
        f"95 % bootstrap interval after: {low:.1%} to {high:.1%}. Losses: {escape('; '.join(summary.losses))}. No test "
        "sentence occurs in training, and nothing was chosen on the test sets: the last step is reported.</p>",
        f"<div class=charts>{bars(sets)}{curve(losses, validation)}</div>",
    ]
    for test_set in sets:
        sections.append(f"<h2>Test sentences, {escape(test_set.title)}</h2>{_table(test_set, recordings)}")
    page = f"<!doctype html><html lang=en><meta charset=utf-8><title>voxtune demo</title><style>{STYLE}</style>"
    write_text(path, page + "\n".join(sections) + "</html>\n")


def _table(test_set: TestSet, recordings: dict[str, Path]) -> str:
    before = {utterance.key: utterance for utterance in test_set.before.utterances}
    worst_first = sorted(test_set.after.utterances, key=lambda u: (-(u.rate or 0.0), u.key))
    rows = "".join(
        f"<tr><td>{_player(recordings[after.key])}<td>{escape(after.reference)}"
        f"<td>{_marked(before[after.key])}<td>{_marked(after)}<td class=number>{after.counts.errors}"
        for after in worst_first
    )
    return f"<table><tr><th>recording<th>said<th>heard before<th>heard after<th>errors{rows}</table>"


def _player(path: Path) -> str:
    sound = base64.b64encode(path.read_bytes()).decode()
    player = f'<audio controls preload=none src="data:audio/ogg;base64,{sound}"></audio>'
    return f"{player}<br><span class=dim>{path.stem}</span>"


def _marked(utterance: UtteranceErrors) -> str:
    words = []
    for pair in utterance.alignment:
        if pair.operation == "equal":
            words.append(escape(pair.hypothesis))
            continue
        if pair.reference:
            words.append(f"<del>{escape(pair.reference)}</del>")
        if pair.hypothesis:
            words.append(f"<ins>{escape(pair.hypothesis)}</ins>")
    return " ".join(words)
