"""The page of a demo: what was reached, how the loss fell, and every test utterance to read and to hear."""

from __future__ import annotations

import base64
from html import escape
from pathlib import Path
from typing import Any

from voxtune.demo.charts import Bar, bars, curve
from voxtune.demo.fun_asr_nano.summary import Summary, TestSet
from voxtune.demo.page import write_page
from voxtune.evaluation.error_rate import ErrorRate, UtteranceErrors


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
        f"<div class=charts>{_bars(sets)}{curve('loss', losses, validation)}</div>",
    ]
    for test_set in sets:
        sections.append(f"<h2>Test sentences, {escape(test_set.title)}</h2>{_table(test_set, recordings)}")
    write_page(path, sections)


def _bars(sets: list[TestSet]) -> str:
    def bar(name: str, rate: ErrorRate) -> Bar:
        return Bar(name, rate.rate, rate.low, rate.high)

    groups = {s.title: [bar("before", s.before), bar("after", s.after)] for s in sets}
    return bars("word error rate", groups)


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
