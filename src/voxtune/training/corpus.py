"""The data of a run: samples, how often each is seen, what each costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from voxtune.checking import Report, check, split_bad
from voxtune.checking.report import Measurement
from voxtune.data.manifest import read_samples
from voxtune.data.plan import Plan
from voxtune.data.sample import Sample
from voxtune.errors import DataError, RecipeError
from voxtune.families.family import Layout, Size
from voxtune.files import write_text
from voxtune.recipe import Recipe, Source

SKIPPED = "skipped.jsonl"


@dataclass(frozen=True)
class Corpus:
    """Samples as training sees them (`Layout.views`), with their weights (passes an epoch) and sizes."""

    samples: list[Sample]
    weights: list[float]
    sizes: list[Size]

    @property
    def hours(self) -> float:
        """Audio in one pass."""
        return sum(size.seconds for size in self.sizes) / 3600

    @property
    def costs(self) -> list[int]:
        """Tokens of each sample, as the budgets count them."""
        return [size.cost for size in self.sizes]

    def plan(self, recipe: Recipe) -> Plan:
        """The order of a run. Raises RecipeError when a sample does not fit into a batch or a step."""
        train = recipe.train
        for limit, key in ((train.tokens_per_batch, "tokens_per_batch"), (train.tokens_per_step, "tokens_per_step")):
            cost, number = max(((cost, number) for number, cost in enumerate(self.costs)), default=(0, 0))
            if cost > limit:
                sample = self.samples[number]
                raise RecipeError(
                    f"{sample.origin}: sample {sample.key!r} costs {cost} tokens, train.{key} = {limit}: "
                    f"raise train.{key} to at least {cost} or leave the sample out"
                )
        return Plan(self.costs, self.weights, train.tokens_per_step, train.seed)


def read_sources(sources: Sequence[Source]) -> list[tuple[Sample, float]]:
    """Samples of several sources, each with its source's weight."""
    return [(s, source.weight) for source in sources for s in read_samples(source.path, source.format)]


def read_corpora(recipe: Recipe, layout: Layout, skipped: Path | None) -> tuple[Corpus, Corpus]:
    """Training and validation data of a recipe, checked (headers, texts, lengths).

    Raises DataError when there are errors, unless `data.skip_bad`: then the bad samples are left out and written to
    `skipped` with their reasons (None = another process writes them).
    """
    train, validation = read_sources(recipe.data.train), read_sources(recipe.data.validation)
    report = check({"train": [s for s, _ in train], "validation": [s for s, _ in validation]}, layout, quick=True)
    if report.errors and not recipe.data.skip_bad:
        raise DataError(_refusal(report))
    bad = {id(sample) for sample in split_bad([s for s, _ in train + validation], report)[1]}
    if bad and skipped is not None:
        write_text(skipped, "".join(finding.model_dump_json() + "\n" for finding in report.errors))
    corpora = [
        _corpus(samples, report.measurements[split], bad)
        for split, samples in (("train", train), ("validation", validation))
    ]
    if not corpora[0].samples:
        raise DataError("no training sample is left" if train else "data.train holds no sample")
    return corpora[0], corpora[1]


def _corpus(weighted: list[tuple[Sample, float]], measurements: list[Measurement | None], bad: set[int]) -> Corpus:
    corpus = Corpus([], [], [])
    for (sample, weight), measured in zip(weighted, measurements, strict=True):
        if id(sample) in bad:
            continue
        assert measured is not None  # else check has reported an error
        for view in measured.views:
            corpus.samples.append(view.sample)
            corpus.weights.append(weight)
            corpus.sizes.append(view.size)
    return corpus


def _refusal(report: Report, most: int = 10) -> str:
    lines = [str(finding) for finding in report.errors[:most]]
    if len(report.errors) > most:
        lines.append(f"... and {len(report.errors) - most} more (`voxtune check RECIPE` lists them all)")
    lines.append(f"{len(report.errors)} errors in the data: mend them, or leave those samples out: data.skip_bad=true")
    return "\n".join(lines)
