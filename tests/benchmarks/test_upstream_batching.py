"""Upstream's batch sampler on lengths that can be checked by hand."""

from __future__ import annotations

import pytest

from benchmarks.upstream_batching import padding_share, source_length, upstream_batches


def test_batches_are_filled_by_padded_length() -> None:
    lengths = [10, 30, 20, 40, 25]
    batches = upstream_batches(lengths, batch_size=60, sort_size=8, shuffle=False)
    assert batches == [[0, 2], [4, 1], [3]]


def test_first_batch_of_a_buffer_holds_one_sample_fewer() -> None:
    batches = upstream_batches([1] * 7, batch_size=100, sort_size=7, batch_size_sample_max=3, shuffle=False)
    assert batches == [[0, 1], [2, 3, 4], [5, 6]]


def test_too_long_samples_vanish() -> None:
    batches = upstream_batches([10, 2049, 10], batch_size=100, sort_size=8, shuffle=False)
    assert batches == [[0, 2]]
    batches = upstream_batches([10, 99, 10, 10], batch_size=2, batch_type="example", max_token_length=98, shuffle=False)
    assert batches == [[0, 2], [3]]


def test_a_budget_below_the_first_sample_gives_an_empty_batch() -> None:
    assert upstream_batches([5, 6], batch_size=4, sort_size=8, shuffle=False) == [[], [0], [1]]


def test_every_rank_gets_the_same_number_of_batches() -> None:
    lengths = [10 + index for index in range(23)]
    ranks = [upstream_batches(lengths, batch_size=40, sort_size=4, epoch=3, rank=r, world=3) for r in range(3)]
    assert len({len(batches) for batches in ranks}) == 1
    assert {index for batches in ranks for batch in batches for index in batch} == set(range(23))


def test_padding_share() -> None:
    assert padding_share([[0, 1], [2]], [10, 30, 20]) == pytest.approx(1 - 60 / 80)
    assert padding_share([[]], []) == 0


def test_source_length_is_frames_plus_tokens() -> None:
    assert source_length(145, 3) == 148
