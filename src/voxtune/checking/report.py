"""What a check found: errors, warnings, statistics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field

from voxtune.data.formats.lines import LineProblem
from voxtune.data.sample import Sample
from voxtune.families.family import Size

Severity = Literal["error", "warning"]
Rule = tuple[str, str, Severity]
"""Field, message, severity."""


class Finding(BaseModel, frozen=True):
    """One thing that is wrong, or looks wrong, with a sample or a line."""

    split: str
    file: Path | None
    line: int | None
    key: str
    field: str
    message: str
    severity: Severity

    @classmethod
    def of(cls, split: str, sample: Sample, field: str, message: str, severity: Severity) -> Finding:
        """A finding about a sample."""
        file, line = (sample.place.file, sample.place.line) if sample.place else (None, None)
        return cls(
            split=split, file=file, line=line, key=sample.key, field=field, message=message, severity=severity
        )  # fmt: skip

    @classmethod
    def of_line(cls, split: str, problem: LineProblem, severity: Severity = "error") -> Finding:
        """A finding about a line that gave no sample."""
        return cls(
            split=split, file=problem.file, line=problem.line, key="", field=problem.field, message=problem.message,
            severity=severity,
        )  # fmt: skip

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.file else f"sample {self.key!r}"
        return f"{place}: {self.field}: {self.message}"


class Percentiles(BaseModel):
    """How a quantity is spread over the samples."""

    least: float
    p5: float
    median: float
    p95: float
    most: float


class SplitStatistics(BaseModel):
    """One part of the data in numbers.

    seconds: of audio in a sample; tokens: positions of the language model; label_tokens: positions that carry loss;
    cost: in the unit of `train.tokens_per_step`; padding_of_16: share of padding in batches of 16 samples drawn at
    random (packed batches have none); steps: optimiser steps of an epoch. None = needs a recipe.
    """

    samples: int
    hours: float
    seconds: Percentiles | None
    sample_rates: dict[int, int]
    tokens: Percentiles | None = None
    label_tokens: int | None = None
    cost: int | None = None
    padding_of_16: float | None = None
    steps: int | None = None


@dataclass(frozen=True)
class View:
    """One of the forms in which training sees a sample, and what it costs."""

    sample: Sample
    size: Size


@dataclass(frozen=True)
class Measurement:
    """What is known of a readable sample: how long it is, and its views (none without a layout or with an error)."""

    seconds: float
    views: tuple[View, ...]


class Report(BaseModel):
    """The result of a check. `measurements`: by split, one a sample in order, None where audio cannot be read.

    `parts`: what to train with this much training data; None without a recipe.
    """

    errors: list[Finding]
    warnings: list[Finding]
    statistics: dict[str, SplitStatistics]
    parts: list[str] | None = None
    measurements: dict[str, list[Measurement | None]] = Field(exclude=True)


def sorted_findings(findings: Sequence[Finding], severity: Severity) -> list[Finding]:
    """Those of a severity, in the order of the files' lines."""
    chosen = [finding for finding in findings if finding.severity == severity]
    return sorted(chosen, key=lambda finding: (str(finding.file or ""), finding.line or 0))
