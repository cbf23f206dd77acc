"""Tokens, kinds of tokens and counts as in the package `compute-wer`."""

from __future__ import annotations

import pytest

from voxtune.evaluation.alignment import Counts
from voxtune.evaluation.compute_wer import Cluster, cluster_of, compute_wer, rate, tokenize


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("今天 weather好", ["今", "天", "WEATHER", "好"]),
        ("don't rock 'n' roll", ["DON'T", "ROCK", "'", "N'", "ROLL"]),
        ("a-b 12.5%", ["A", "-", "B", "12", ".", "5", "%"]),
        ("ไทย12 ກ", ["ไ", "ท", "ย", "12", "ກ"]),
        ("안녕 하세요", ["안녕", "하세요"]),
        ("cafe\u0301s", ["CAFE", "S"]),
        ("<unk> it’s", ["<", "UNK", ">", "IT", "’", "S"]),
        ("a\u200bb\u3000c\x00d", ["A", "B", "C", "D"]),
        ("", []),
    ],
)
def test_tokens(text: str, tokens: list[str]) -> None:
    assert tokenize(text, characters=False, case_sensitive=False, ignore_punctuation=False) == tokens


def test_tokens_of_every_option() -> None:
    text = "It's ok, 好!"
    assert tokenize(text, characters=True, case_sensitive=True, ignore_punctuation=False) == list("It'sok,好!")
    assert tokenize(text, characters=False, case_sensitive=True, ignore_punctuation=True) == ["It's", "ok", "好"]
    assert tokenize(text, characters=True, case_sensitive=False, ignore_punctuation=True) == list("ITSOK好")


@pytest.mark.parametrize(
    ("token", "cluster"),
    [
        ("好", "Chinese"),
        ("㐀", "Chinese"),
        ("IT'S", "English"),
        ("CAFÉ", "English"),
        ("12", "Number"),
        ("1'2", "Number"),
        ("か", "Japanese"),
        ("カ", "Japanese"),
        ("ー", "Other"),
        ("3RD", "Other"),
        ("안녕", "Other"),
        ("'", "Other"),
        ("２", "Other"),
    ],
)
def test_clusters(token: str, cluster: Cluster) -> None:
    assert cluster_of(token) == cluster


def test_an_error_belongs_to_the_kind_of_its_reference_token() -> None:
    score = compute_wer({"a": "我 有 3 apples"}, {"a": "我 有 三 apples 吗"})
    assert score.clusters["Number"] == Counts(substitutions=1)
    assert score.clusters["Chinese"] == Counts(correct=2, insertions=1)


def test_a_kind_of_inserted_tokens_only_is_left_out() -> None:
    score = compute_wer({"a": "我"}, {"a": "我 hello"})
    assert list(score.clusters) == ["Chinese"]
    assert score.counts.insertions == 1


def test_keys_that_only_one_side_has() -> None:
    references, hypotheses = {"b": "x y", "a": "z"}, {"a": "z", "c": "q"}
    score = compute_wer(references, hypotheses)
    assert [utterance.key for utterance in score.utterances] == ["b", "a"]
    assert (score.missing_hypotheses, score.extra_hypotheses) == (["b"], ["c"])
    assert score.counts == Counts(correct=1, deletions=2)
    aligned = compute_wer(references, hypotheses, align_to_hypotheses=True)
    assert [utterance.key for utterance in aligned.utterances] == ["a"]
    assert aligned.counts == Counts(correct=1)
    assert [u.key for u in compute_wer(references, hypotheses, sort_by_key=True).utterances] == ["a", "b"]


def test_insertions_into_an_empty_reference_have_the_rate_zero() -> None:
    score = compute_wer({"a": ""}, {"a": "noise"})
    assert (rate(score.counts), score.counts.insertions, score.wrong_sentences) == (0.0, 1, 0)
