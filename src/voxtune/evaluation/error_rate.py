"""Word and character error rates with a bootstrap confidence interval and a table of utterances."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from voxtune.errors import VoxtuneError
from voxtune.evaluation.alignment import AlignedPair, Counts, align, count

Unit = Literal["word", "char"]

_RESAMPLED_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class UtteranceErrors:
    """One utterance: both texts, how their tokens line up, and the counts of errors."""

    key: str
    reference: str
    hypothesis: str
    alignment: list[AlignedPair]
    counts: Counts

    @property
    def rate(self) -> float | None:
        """Errors per reference token, as a fraction. None when the reference is empty."""
        return self.counts.errors / self.counts.reference_length if self.counts.reference_length else None


@dataclass(frozen=True)
class ErrorRate:
    """An error rate as a fraction (it can exceed 1), its confidence interval, and where it comes from."""

    rate: float
    low: float
    high: float
    unit: Unit
    counts: Counts
    utterances: list[UtteranceErrors]

    @property
    def substitutions(self) -> int:
        return self.counts.substitutions

    @property
    def deletions(self) -> int:
        return self.counts.deletions

    @property
    def insertions(self) -> int:
        return self.counts.insertions

    @property
    def reference_length(self) -> int:
        return self.counts.reference_length

    def worst(self, number: int) -> list[UtteranceErrors]:
        """The utterances with the most errors, the highest rate first among equals; none without an error."""
        wrong = [utterance for utterance in self.utterances if utterance.counts.errors]
        wrong.sort(key=lambda utterance: (-utterance.counts.errors, utterance.counts.reference_length))
        return wrong[:number]


def error_rate(
    references: Mapping[str, str],
    hypotheses: Mapping[str, str],
    unit: Unit = "word",
    *,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> ErrorRate:
    """Score texts by key, exactly as they are written: normalise both sides before (`normalization.normalize`).

    A reference without hypothesis counts as deleted. With `unit="char"` every character but white space is a token.
    The interval is the percentile bootstrap over utterances (Bisani and Ney, 2004); it depends on `seed` alone.

    Raises VoxtuneError when a hypothesis has no reference, or when the references hold no token at all.
    """
    extra = [key for key in hypotheses if key not in references]
    if extra:
        raise VoxtuneError(f"no reference for the hypothesis of {', '.join(extra[:5])}: remove it or add its reference")
    utterances = [_score(key, text, hypotheses.get(key, ""), unit) for key, text in references.items()]
    total = sum((utterance.counts for utterance in utterances), Counts())
    if not total.reference_length:
        raise VoxtuneError("the references hold no words, so there is no error rate: give one with text")
    errors = np.array([utterance.counts.errors for utterance in utterances])
    lengths = np.array([utterance.counts.reference_length for utterance in utterances])
    low, high = bootstrap_interval(errors, lengths, confidence=confidence, resamples=resamples, seed=seed)
    return ErrorRate(total.errors / total.reference_length, low, high, unit, total, utterances)


def bootstrap_interval(
    errors: npt.NDArray[np.int64],
    lengths: npt.NDArray[np.int64],
    *,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """The percentile interval of sum(errors) / sum(lengths) when utterances are drawn again with replacement.

    `errors` and `lengths` are [utterances]; at least one length is above 0. A draw in which all lengths are 0 has no
    rate and is left out.
    """
    generator = np.random.default_rng(seed)
    utterances = len(errors)
    at_once = max(1, _RESAMPLED_AT_ONCE // utterances)
    rates: list[npt.NDArray[np.float64]] = []
    for start in range(0, resamples, at_once):
        drawn = generator.integers(utterances, size=(min(at_once, resamples - start), utterances))
        drawn_errors, drawn_lengths = errors[drawn].sum(axis=1), lengths[drawn].sum(axis=1)
        rates.append(drawn_errors[drawn_lengths > 0] / drawn_lengths[drawn_lengths > 0])
    tail = (1 - confidence) / 2
    low, high = np.quantile(np.concatenate(rates), (tail, 1 - tail))
    return float(low), float(high)


def _score(key: str, reference: str, hypothesis: str, unit: Unit) -> UtteranceErrors:
    alignment = align(_tokens(reference, unit), _tokens(hypothesis, unit))
    return UtteranceErrors(key, reference, hypothesis, alignment, count(alignment))


def _tokens(text: str, unit: Unit) -> list[str]:
    words = text.split()
    return words if unit == "word" else list("".join(words))
