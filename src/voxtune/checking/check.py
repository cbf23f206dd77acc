"""Reads what a run will read and says what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from rich.console import Console

from voxtune.checking.corpus_rules import Known, corpus_rules
from voxtune.checking.dialogue_rules import tokens_of, wordless_speakers
from voxtune.checking.recordings import Identity, Recording, identity, read_recordings
from voxtune.checking.report import Finding, Measurement, Report, View, sorted_findings
from voxtune.checking.rules import sample_rules
from voxtune.checking.statistics import statistics
from voxtune.data.formats.lines import LineProblem, Problems
from voxtune.data.manifest import collect_samples
from voxtune.data.plan import Plan
from voxtune.data.sample import Sample
from voxtune.errors import DataError
from voxtune.families import find
from voxtune.families.family import Layout
from voxtune.recipe import Recipe, Source


def check(
    sources: Mapping[str, Sequence[Sample]],
    layout: Layout | None = None,
    *,
    quick: bool = False,
    problems: Mapping[str, Problems] | None = None,
    console: Console | None = None,
) -> Report:
    """Check samples by split ("train", "validation", ...), for a model's limits and tokenizer when `layout` is given.

    quick: headers, texts and lengths; recordings are not decoded. problems: of the lines that gave no sample, by
    split. console: where progress is shown.
    """
    recordings = read_recordings((s for samples in sources.values() for s in samples), quick=quick, console=console)
    findings = [finding for split, lines in (problems or {}).items() for finding in _line_findings(split, lines)]
    measurements: dict[str, list[Measurement | None]] = {}
    known: list[Known] = []
    for split, samples in sources.items():
        measurements[split] = []
        for sample in samples:
            own = [recordings[identity(part)] for part in sample.audio]
            tokens = tokens_of(sample, quick=quick)
            about = [Finding.of(split, sample, *rule) for rule in sample_rules(sample, own, tokens, layout)]
            findings += about
            readable = [recording for recording in own if isinstance(recording, Recording)]
            if len(readable) < len(own) or isinstance(tokens, DataError):
                measurements[split].append(None)
                continue
            seconds = tuple(recording.seconds for recording in readable)
            sound = not any(finding.severity == "error" for finding in about)
            duration = sample.duration(seconds)
            measurements[split].append(Measurement(duration, _views(sample, seconds, layout) if sound else ()))
            contents = (tokens.content,) if tokens else tuple(recording.content for recording in readable)
            known.append(Known(split, sample, contents, duration, wordless_speakers(sample, tokens)))
    findings += corpus_rules(sources, known)
    return Report(
        errors=sorted_findings(findings, "error"),
        warnings=sorted_findings(findings, "warning"),
        statistics={
            split: statistics(measurements[split], _recordings_of(samples, recordings))
            for split, samples in sources.items()
        },
        measurements=measurements,
    )


def check_files(
    files: Sequence[Path], format: str | None = None, *, quick: bool = False, console: Console | None = None
) -> Report:
    """Check data files without a model. Raises DataError when a whole file cannot be read."""
    problems = Problems()
    samples = collect_samples(files, format, problems)
    return check({"data": samples}, quick=quick, problems={"data": problems}, console=console)


def check_recipe(recipe: Recipe, *, quick: bool = False, console: Console | None = None) -> Report:
    """Check the data of a recipe for its model, with the steps of an epoch and the parts to train.

    Raises DataError when a whole data file cannot be read, and what loading the model raises.
    """
    problems = {split: Problems() for split in ("train", "validation")}
    train = [(s, source.weight) for source in recipe.data.train for s in _read(source, problems["train"])]
    validation = [s for source in recipe.data.validation for s in _read(source, problems["validation"])]
    family = find(recipe.model.family)
    model = family.load(recipe.model.source, recipe.model.options, dtype=torch.float32)
    layout = family.layout(model, recipe.model.options, recipe.data.task)
    sources = {"train": [sample for sample, _ in train], **({"validation": validation} if validation else {})}
    report = check(sources, layout, quick=quick, problems=problems, console=console)
    found = report.statistics["train"]
    report.parts = family.parts_for(found.hours, recipe.tune.method)
    sized = [
        (view.size.cost, weight)
        for measured, (_, weight) in zip(report.measurements["train"], train, strict=True)
        if measured is not None
        for view in measured.views
    ]
    if sized:
        costs, weights = zip(*sized, strict=True)
        found.steps = len(Plan(costs, weights, recipe.train.tokens_per_step, recipe.train.seed).steps(0))
    return report


def split_bad(samples: Sequence[Sample], report: Report) -> tuple[list[Sample], list[Sample]]:
    """Samples without errors, and those with errors, each in order."""
    bad = {(finding.file, finding.line, finding.key) for finding in report.errors}
    good: list[Sample] = []
    skipped: list[Sample] = []
    for sample in samples:
        file, line = (sample.place.file, sample.place.line) if sample.place else (None, None)
        (skipped if (file, line, sample.key) in bad else good).append(sample)
    return good, skipped


def _views(sample: Sample, seconds: Sequence[float], layout: Layout | None) -> tuple[View, ...]:
    if layout is None:
        return ()
    return tuple(View(view, layout.size(view, seconds)) for view in layout.views(sample, seconds))


def _read(source: Source, problems: Problems) -> list[Sample]:
    return collect_samples(source.path, source.format, problems)


def _line_findings(split: str, problems: Problems) -> list[Finding]:
    errors = [Finding.of_line(split, problem) for problem in problems.errors]
    unused = [LineProblem(file, line, key, "is not used") for (file, key), line in problems.unused.items()]
    return errors + [Finding.of_line(split, problem, "warning") for problem in unused]


def _recordings_of(samples: Sequence[Sample], recordings: Mapping[Identity, Recording | DataError]) -> list[Recording]:
    own = {identity(part): recordings[identity(part)] for sample in samples for part in sample.audio}
    return [recording for recording in own.values() if isinstance(recording, Recording)]
