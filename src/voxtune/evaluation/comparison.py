"""One evaluation of hypotheses against references: upstream's numbers and the modern ones, side by side."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from voxtune.errors import DataError
from voxtune.evaluation.alignment import Counts
from voxtune.evaluation.compute_wer import Score, compute_wer, rate
from voxtune.evaluation.error_rate import ErrorRate, UtteranceErrors, error_rate
from voxtune.evaluation.keyed_text import KeyedText
from voxtune.evaluation.normalization import normalize, unit_of
from voxtune.evaluation.whisper_mix import whisper_mix_normalize


@dataclass(frozen=True)
class Comparison:
    """Upstream's score (comparable with published numbers) and the error rate of the language's own unit."""

    upstream: Score
    modern: ErrorRate
    missing_hypotheses: list[str]
    extra_hypotheses: list[str]


def compare(
    references: KeyedText, hypotheses: KeyedText, language: str, *, normalized: bool = True, kana: bool = False
) -> Comparison:
    """Score the hypotheses by key. A missing hypothesis counts as deleted; an extra one is left out; both are listed.

    With `normalized=False` both numbers are of the texts as they are written. `kana` compares Japanese by its reading
    (upstream's number only).

    Raises DataError when the two files have no key in common or a text cannot be normalised, VoxtuneError when
    `language` is not a language code, a package is missing, or all references are empty.
    """
    unit = unit_of(language)
    missing = [key for key in references.texts if key not in hypotheses.texts]
    extra = [key for key in hypotheses.texts if key not in references.texts]
    if len(missing) == len(references.texts):
        raise DataError(
            f"{hypotheses.path}: none of its keys is in {references.path} (they begin with "
            f"{next(iter(hypotheses.texts))!r} and {next(iter(references.texts))!r}): give files of the same utterances"
        )
    said, heard = references.texts, {key: text for key, text in hypotheses.texts.items() if key in references.texts}
    if not normalized:
        return Comparison(compute_wer(said, heard), error_rate(said, heard, unit), missing, extra)
    upstream = compute_wer(_as_upstream(references, said, kana), _as_upstream(hypotheses, heard, kana))
    modern = error_rate(
        {key: normalize(text) for key, text in said.items()},
        {key: normalize(text) for key, text in heard.items()},
        unit,
    )
    return Comparison(upstream, modern, missing, extra)


def _as_upstream(source: KeyedText, texts: dict[str, str], kana: bool) -> dict[str, str]:
    normalized: dict[str, str] = {}
    for key, text in texts.items():
        try:
            normalized[key] = whisper_mix_normalize(text, kana=kana)
        except DataError as error:
            raise DataError(f"{source.where(key)}: {error}") from error
    return normalized


def to_json(comparison: Comparison) -> dict[str, Any]:
    """The comparison as JSON values: rates as fractions, texts as they were compared.

    An utterance without reference tokens has the rate null.
    """
    upstream, modern = comparison.upstream, comparison.modern
    return {
        "upstream": {
            "rate": rate(upstream.counts),
            **_counts(upstream.counts),
            "clusters": {name: {"rate": rate(counts), **_counts(counts)} for name, counts in upstream.clusters.items()},
            "sentences": len(upstream.utterances),
            "wrong_sentences": upstream.wrong_sentences,
        },
        "modern": {
            "unit": modern.unit,
            "rate": modern.rate,
            "low": modern.low,
            "high": modern.high,
            **_counts(modern.counts),
        },
        "missing_hypotheses": comparison.missing_hypotheses,
        "extra_hypotheses": comparison.extra_hypotheses,
        "utterances": [_utterance(utterance) for utterance in modern.utterances],
    }


def _utterance(utterance: UtteranceErrors) -> dict[str, Any]:
    return {
        "key": utterance.key,
        "reference": utterance.reference,
        "hypothesis": utterance.hypothesis,
        "rate": utterance.rate,
        **_counts(utterance.counts),
        "alignment": [list(pair) for pair in utterance.alignment],
    }


def _counts(counts: Counts) -> dict[str, int]:
    return {**asdict(counts), "reference_length": counts.reference_length}
