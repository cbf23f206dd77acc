"""Normalisation before scoring, and the scoring itself, against the recorded runs of upstream's tools."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.parity.conftest import cases
from voxtune.evaluation.cer_report import aligned_rows, format_counts, format_sentences, report_lines
from voxtune.evaluation.chinese_numbers import chinese_numbers
from voxtune.evaluation.compute_wer import Score, compute_wer
from voxtune.evaluation.keyed_text import read_keyed_text
from voxtune.evaluation.recognition_format import format_recognition, space_characters
from voxtune.evaluation.whisper_mix import basic_normalizer, english_normalizer, to_simplified, whisper_mix_normalize

CASES = cases("fun-asr-nano", "text")
REPORTS = [pytest.param(report, id=f"{case.name}-{report.stem}") for case in CASES for report in case.glob("cer*.txt")]
OPTIONS: dict[str, dict[str, bool]] = {
    "cer": {},
    "cer_sorted_utt": {"sort_by_key": True},
    "cer_char": {"characters": True},
    "cer_ignore_punctuation": {"ignore_punctuation": True},
    "cer_align_to_hyp": {"align_to_hypotheses": True},
    "cer_case_sensitive": {"case_sensitive": True},
}
RULE = "=" * 75


def normalized_file(path: Path, *, kana: bool = False) -> str:
    """What `whisper_mix_normalize.py` writes for a file."""
    texts = read_keyed_text(path).texts
    return "".join(f"{key}\t{whisper_mix_normalize(text, kana=kana)}\n" for key, text in texts.items())


def score(case: Path, **options: bool) -> Score:
    return compute_wer(read_keyed_text(case / "ref.txt").texts, read_keyed_text(case / "hyp.txt").texts, **options)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_normalized_lines(case: Path) -> None:
    assert normalized_file(case / "in.txt") == (case / "out.txt").read_text(encoding="utf-8")
    assert normalized_file(case / "kana_in.txt") == (case / "kana_off_out.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_normalized_lines_in_katakana(case: Path) -> None:
    pytest.importorskip("pyopenjtalk", reason="needs the extra `japanese`")
    expected = (case / "kana_out.txt").read_text(encoding="utf-8")
    assert normalized_file(case / "kana_in.txt", kana=True) == expected


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_stage_of_every_line(case: Path) -> None:
    stages: list[dict[str, str]] = json.loads((case / "stages.json").read_text(encoding="utf-8"))
    for stage in stages:
        english = english_normalizer()(stage["text"])
        chinese = chinese_numbers(english)
        formatted = format_recognition(chinese)
        ours = {
            "text": stage["text"],
            "english_normalizer": english,
            "basic_normalizer": basic_normalizer()(stage["text"]),
            "en_scoreformat": space_characters(english),
            "normalize_nsw_of_english": chinese,
            "all_convert": formatted,
            "zh_cn": to_simplified(formatted),
        }
        assert ours == stage


@pytest.mark.parametrize("report", REPORTS)
def test_reports(report: Path) -> None:
    """Upstream's order is that of a Python set, except with `--sort utt`; ours is that of the references."""
    options = OPTIONS[report.stem]
    ours = "\n".join(report_lines(score(report.parent, **options)))
    our_utterances, our_totals = split_report(ours)
    utterances, totals = split_report(report.read_text(encoding="utf-8"))
    if "sort_by_key" in options:
        assert our_utterances == utterances
    assert Counter(our_utterances) == Counter(utterances)
    assert (our_totals[0], our_totals[-1]) == (totals[0], totals[-1])
    assert Counter(our_totals) == Counter(totals)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_utterances_are_in_the_order_of_the_references(case: Path) -> None:
    assert [utterance.key for utterance in score(case).utterances] == list(read_keyed_text(case / "ref.txt").texts)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_counts_and_alignments(case: Path) -> None:
    recorded: dict[str, Any] = json.loads((case / "wer.json").read_text(encoding="utf-8"))
    for name, expected in recorded.items():
        ours = score(case, **OPTIONS["cer" if name == "default_cli" else f"cer_{name}"])
        counts = ours.counts
        assert format_counts(counts) == expected["overall"]
        overall = [counts.reference_length, counts.correct, counts.substitutions, counts.deletions, counts.insertions]
        assert overall == expected["overall_counts"]
        assert {cluster: format_counts(counted) for cluster, counted in ours.clusters.items()} == expected["clusters"]
        assert format_sentences(ours).startswith(f"{expected['ser']} ML=")
        assert {utterance.key: as_recorded(utterance) for utterance in ours.utterances} == expected["per_utt"]


def as_recorded(utterance: Any) -> dict[str, Any]:
    reference, hypothesis = aligned_rows(utterance.alignment)
    return {
        "equal": utterance.counts.correct,
        "replace": utterance.counts.substitutions,
        "delete": utterance.counts.deletions,
        "insert": utterance.counts.insertions,
        "all": utterance.counts.reference_length,
        "wer_str": format_counts(utterance.counts),
        "ref_aligned": reference,
        "hyp_aligned": hypothesis,
    }


def split_report(text: str) -> tuple[list[str], list[str]]:
    """The blocks of the utterances and the lines of the totals."""
    utterances, totals, _ = f"\n{text}".split(f"\n{RULE}")
    return utterances.strip("\n").split("\n\n"), totals.strip("\n").split("\n")
