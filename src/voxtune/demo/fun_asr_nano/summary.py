"""The numbers of a demo."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from voxtune.evaluation.error_rate import ErrorRate
from voxtune.files import write_json


@dataclass(frozen=True)
class TestSet:
    """A held-out set before and after fine-tuning."""

    title: str
    before: ErrorRate
    after: ErrorRate


@dataclass(frozen=True)
class Summary:
    """What a demo reached. Error rates are fractions; `seconds` is the whole demo, `training_seconds` a part of it."""

    wer_before: float
    wer_after: float
    wer_after_interval: tuple[float, float]
    by_set: dict[str, dict[str, float]]
    steps: int
    training_seconds: float
    seconds: float
    losses: list[str]

    def write(self, path: Path) -> None:
        """Write the numbers as JSON."""
        write_json(path, asdict(self))
