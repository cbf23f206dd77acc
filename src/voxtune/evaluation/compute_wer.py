"""Scoring that gives the numbers of the PyPI package `compute-wer` 0.2.5, which upstream's recipes report.

Mixed text has one error rate: Chinese characters, kana and characters of other scripts without blanks are tokens of
their own, everything else is words and punctuation marks.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

from voxtune.evaluation.alignment import AlignedPair, Counts, align, count

Cluster = Literal["Chinese", "English", "Number", "Japanese", "Other"]

# Thai, Lao, Tibetan, Myanmar, Khmer, kana, Chinese characters: every character is a token.
_UNSPACED = re.compile("[\u0e00-\u109f\u1780-\u17ff\u3040-\u30ff\u4e00-\u9fff]")
_CLUSTERS: tuple[tuple[Cluster, re.Pattern[str]], ...] = (
    ("Chinese", re.compile("CJK (UNIFIED|COMPATIBILITY) IDEOGRAPH")),
    ("English", re.compile("LATIN (SMALL|CAPITAL) LETTER")),
    ("Number", re.compile("DIGIT")),
    ("Japanese", re.compile("(HIRAGANA|KATAKANA) LETTER")),
)


@dataclass(frozen=True)
class ScoredUtterance:
    """One utterance and its errors."""

    key: str
    alignment: list[AlignedPair]
    counts: Counts


@dataclass(frozen=True)
class Score:
    """The scored utterances, and the keys that only one side has."""

    utterances: list[ScoredUtterance]
    missing_hypotheses: list[str]
    extra_hypotheses: list[str]

    @property
    def counts(self) -> Counts:
        return sum((utterance.counts for utterance in self.utterances), Counts())

    @property
    def clusters(self) -> dict[Cluster, Counts]:
        """Counts per kind of token, in order of appearance. An error belongs to the kind of its reference token.

        A kind without reference tokens is left out, as in `compute-wer`: its insertions are in the overall counts only.
        """
        columns: dict[Cluster, list[AlignedPair]] = {}
        for utterance in self.utterances:
            for pair in utterance.alignment:
                columns.setdefault(cluster_of(pair.reference or pair.hypothesis), []).append(pair)
        counts = {cluster: count(pairs) for cluster, pairs in columns.items()}
        return {cluster: counted for cluster, counted in counts.items() if counted.reference_length}

    @property
    def wrong_sentences(self) -> int:
        """How many utterances have a rate above 0. As in `compute-wer`, insertions into nothing have the rate 0."""
        return sum(rate(utterance.counts) > 0 for utterance in self.utterances)


def compute_wer(
    references: Mapping[str, str],
    hypotheses: Mapping[str, str],
    *,
    characters: bool = False,
    case_sensitive: bool = False,
    ignore_punctuation: bool = False,
    align_to_hypotheses: bool = False,
    sort_by_key: bool = False,
) -> Score:
    """Score texts by key, in the order of the references.

    A reference without hypothesis counts as deleted, or not at all with `align_to_hypotheses`. A hypothesis without
    reference is left out and listed. The options are `--char`, `-cs`, `-ip`, `--align-to-hyp` and `--sort utt` there.
    """
    missing = [key for key in references if key not in hypotheses]
    keys = [key for key in references if key in hypotheses] if align_to_hypotheses else list(references)
    utterances: list[ScoredUtterance] = []
    for key in sorted(keys) if sort_by_key else keys:
        reference, hypothesis = (
            tokenize(text, characters=characters, case_sensitive=case_sensitive, ignore_punctuation=ignore_punctuation)
            for text in (references[key], hypotheses.get(key, ""))
        )
        alignment = align(reference, hypothesis)
        utterances.append(ScoredUtterance(key, alignment, count(alignment)))
    return Score(utterances, missing, [key for key in hypotheses if key not in references])


def tokenize(text: str, *, characters: bool, case_sensitive: bool, ignore_punctuation: bool) -> list[str]:
    """Cut a text into tokens: words, single characters of scripts without blanks, and punctuation marks."""
    tokens: list[str] = []
    word = ""
    for character in text:
        category = unicodedata.category(character)[0]
        is_letter = category in "LN" and not _UNSPACED.match(character)
        if not characters and (is_letter or (word and character == "'")):
            word += character
            continue
        tokens.append(word)
        word = ""
        if category in "PS":
            tokens.append("" if ignore_punctuation else character)
        elif is_letter or (category in "MLN" and _UNSPACED.match(character)):
            tokens.append(character)
    tokens.append(word)
    return [token if case_sensitive else token.upper() for token in tokens if token]


@cache
def cluster_of(token: str) -> Cluster:
    """Chinese, English, Number or Japanese when all characters are (apostrophes aside), else Other."""
    names = [unicodedata.name(character, "") for character in token if character != "'"]
    for cluster, pattern in _CLUSTERS:
        if names and all(pattern.match(name) for name in names):
            return cluster
    return "Other"


def rate(counts: Counts) -> float:
    """Errors per reference token. It is 0 without reference tokens, as in `compute-wer`."""
    return counts.errors / counts.reference_length if counts.reference_length else 0.0
