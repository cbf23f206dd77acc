"""Error rates, their alignments and their bootstrap interval."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from voxtune.errors import VoxtuneError
from voxtune.evaluation.error_rate import bootstrap_interval, error_rate


def test_a_word_error_rate_counts_each_kind_of_error() -> None:
    result = error_rate(
        {"a": "the cat sat on the mat", "b": "hello"},
        {"a": "the hat sat the mat now", "b": "hello"},
    )
    assert (result.substitutions, result.deletions, result.insertions, result.reference_length) == (1, 1, 1, 7)
    assert result.rate == pytest.approx(3 / 7)
    first = result.utterances[0]
    assert (first.key, first.reference, first.hypothesis) == ("a", "the cat sat on the mat", "the hat sat the mat now")
    assert first.rate == 0.5
    assert [tuple(pair) for pair in first.alignment] == [
        ("equal", "the", "the"),
        ("substitute", "cat", "hat"),
        ("equal", "sat", "sat"),
        ("delete", "on", ""),
        ("equal", "the", "the"),
        ("equal", "mat", "mat"),
        ("insert", "", "now"),
    ]


def test_a_character_error_rate_does_not_see_blanks() -> None:
    result = error_rate({"a": "今天 天气"}, {"a": "今 天天汽"}, "char")
    assert (result.substitutions, result.reference_length, result.rate) == (1, 4, 0.25)


def test_a_rate_can_exceed_one() -> None:
    assert error_rate({"a": "x"}, {"a": "p q r"}).rate == 3.0


def test_a_missing_hypothesis_is_deleted() -> None:
    result = error_rate({"a": "one two", "b": "three"}, {"a": "one two"})
    assert (result.deletions, result.reference_length) == (1, 3)
    assert result.utterances[1].hypothesis == ""


def test_an_empty_reference_has_no_rate_of_its_own_but_its_insertions_count() -> None:
    result = error_rate({"a": "", "b": "one two"}, {"a": "noise", "b": "one two"})
    assert result.utterances[0].rate is None
    assert result.rate == 0.5


def test_a_hypothesis_without_reference_is_an_error() -> None:
    with pytest.raises(VoxtuneError, match="no reference for the hypothesis of c"):
        error_rate({"a": "x"}, {"a": "x", "c": "y"})


@pytest.mark.parametrize("references", [{}, {"a": ""}, {"a": "  ", "b": ""}])
def test_without_any_reference_word_there_is_no_rate(references: dict[str, str]) -> None:
    with pytest.raises(VoxtuneError, match="hold no words"):
        error_rate(references, {})


def test_the_worst_utterances_come_first_and_perfect_ones_never() -> None:
    references = {"good": "a b c", "long": "a b c d", "short": "a b", "one": "a b c"}
    hypotheses = {"good": "a b c", "long": "a b x y", "short": "x y", "one": "a b x"}
    worst = error_rate(references, hypotheses).worst(9)
    assert [utterance.key for utterance in worst] == ["short", "long", "one"]
    assert [utterance.key for utterance in error_rate(references, hypotheses).worst(1)] == ["short"]


def test_the_interval_is_a_point_when_all_utterances_have_one_rate() -> None:
    errors, lengths = np.array([1, 2, 3]), np.array([10, 20, 30])
    assert bootstrap_interval(errors, lengths) == (0.1, 0.1)
    single = error_rate({"a": "x y"}, {"a": "x z"})
    assert (single.low, single.rate, single.high) == (0.5, 0.5, 0.5)


def test_the_interval_of_two_utterances_is_known() -> None:
    """Drawing two of {right, wrong} gives 0, 1/2, 1 with the probabilities 1/4, 1/2, 1/4."""
    errors, lengths = np.array([0, 1]), np.array([1, 1])
    assert bootstrap_interval(errors, lengths, confidence=0.95) == (0.0, 1.0)
    assert bootstrap_interval(errors, lengths, confidence=0.4) == (0.5, 0.5)


def test_the_interval_agrees_with_the_normal_approximation() -> None:
    """For utterances of one length the rate is a mean, whose standard error is known."""
    generator = np.random.default_rng(5)
    errors, lengths = generator.binomial(10, 0.2, 400), np.full(400, 10)
    low, high = bootstrap_interval(errors, lengths, resamples=4000)
    mean, standard_error = errors.mean() / 10, errors.std() / 10 / np.sqrt(400)
    assert low == pytest.approx(mean - 1.96 * standard_error, abs=0.1 * standard_error)
    assert high == pytest.approx(mean + 1.96 * standard_error, abs=0.1 * standard_error)


def test_the_interval_covers_the_true_rate_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(0)
    covered = 0
    for trial in range(300):
        lengths = generator.integers(5, 30, 60)
        low, high = bootstrap_interval(generator.binomial(lengths, 0.15), lengths, resamples=300, seed=trial)
        covered += low <= 0.15 <= high
    assert 0.90 <= covered / 300 <= 0.99


def test_the_interval_depends_on_the_seed_alone() -> None:
    generator = np.random.default_rng(1)
    lengths = generator.integers(1, 20, 50)
    errors = generator.binomial(lengths, 0.3)
    assert bootstrap_interval(errors, lengths, seed=7) == bootstrap_interval(errors, lengths, seed=7)
    assert bootstrap_interval(errors, lengths, seed=7) != bootstrap_interval(errors, lengths, seed=8)


def test_draws_of_empty_references_only_are_left_out() -> None:
    low, high = bootstrap_interval(np.array([1, 1]), np.array([0, 4]))
    assert (low, high) == (0.25, 0.5)


def test_many_utterances_are_drawn_in_several_blocks() -> None:
    generator = np.random.default_rng(2)
    lengths = generator.integers(1, 20, 9000)
    errors = generator.binomial(lengths, 0.3)
    low, high = bootstrap_interval(errors, lengths, resamples=1000)
    assert low < errors.sum() / lengths.sum() < high
    assert high - low < 0.01


def test_importing_it_does_not_import_torch() -> None:
    program = (
        "import sys, voxtune.evaluation.error_rate, voxtune.evaluation.normalization; "
        "print([name for name in ('torch', 'transformers', 'whisper_normalizer', 'zhconv') if name in sys.modules])"
    )
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert finished.stdout.strip() == "[]"
