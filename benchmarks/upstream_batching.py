"""Which samples upstream puts into a batch: for comparison, not for training.

Source of the rules: funasr/datasets/audio_datasets/samplers.py (`CustomDistributedBatchSampler_fn`).
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Literal

import torch

LONGEST = 2048
"""Default of `max_token_length` where batches are cut by length."""

MOST_SAMPLES = 200


def source_length(speech_length: int, text_length: int) -> int:
    """What upstream calls a sample's length: feature frames of 10 ms plus text tokens."""
    return speech_length + text_length


def upstream_batches(
    lengths: Sequence[int],
    *,
    batch_size: int,
    batch_type: Literal["token", "example"] = "token",
    sort_size: int = 0,
    max_token_length: int | None = None,
    batch_size_sample_max: int = MOST_SAMPLES,
    shuffle: bool = True,
    epoch: int = 0,
    rank: int = 0,
    world: int = 1,
    start_step: int = 0,
) -> list[list[int]]:
    """Batches (indices into `lengths`) of one rank in one epoch; the keywords are upstream's.

    lengths: as `source_length` gives them. "token": a batch's padded length stays within `batch_size`; samples are
    sorted in buffers of `sort_size` per rank, or not at all when that is 0. "example": `batch_size` samples each.
    Samples longer than `max_token_length` are in no batch, and upstream does not say so.
    """
    order = list(range(len(lengths)))
    if shuffle:
        order = torch.randperm(len(lengths), generator=torch.Generator().manual_seed(epoch)).tolist()
    if batch_type == "example":
        batches = _by_count(order, lengths, batch_size, max_token_length, rank, world)
    else:
        longest = LONGEST if max_token_length is None else max_token_length
        if sort_size > 0:
            everybody = _sorted_by_length(order, lengths, batch_size, longest, sort_size * world, batch_size_sample_max)
            batches = _dealt(everybody, epoch, rank, world)
        else:
            mine = [index for index in order[rank::world] if lengths[index] <= longest]
            batches = list(_filled(mine, lengths, batch_size, None))
    return batches[start_step:]


def padding_share(batches: Sequence[Sequence[int]], lengths: Sequence[int]) -> float:
    """Share of a padded batch that is padding, over all batches; `lengths` may be any measure of the samples."""
    computed = sum(max(lengths[index] for index in batch) * len(batch) for batch in batches if batch)
    useful = sum(lengths[index] for batch in batches for index in batch)
    return 1 - useful / computed if computed else 0.0


def _by_count(
    order: list[int], lengths: Sequence[int], batch_size: int, longest: int | None, rank: int, world: int
) -> list[list[int]]:
    missing = -len(order) % (batch_size * world)
    repeated = order + (order * (missing // len(order) + 1))[:missing] if order else []
    mine = [index for index in repeated[rank::world] if longest is None or lengths[index] <= longest]
    return [mine[start : start + batch_size] for start in range(0, len(mine), batch_size)]


def _sorted_by_length(
    order: list[int], lengths: Sequence[int], budget: int, longest: int, buffer: int, most: int
) -> list[list[int]]:
    batches = []
    for start in range(0, len(order), buffer):
        in_buffer = sorted(order[start : start + buffer], key=lambda index: lengths[index])
        batches += list(_filled([i for i in in_buffer if lengths[i] <= longest], lengths, budget, most))
    return batches


def _filled(indices: list[int], lengths: Sequence[int], budget: int, most: int | None) -> Iterator[list[int]]:
    """Fill batches in order. The first one takes one sample fewer than `most` and may be given out empty: upstream's
    counter begins at 1 although nothing is in the batch yet."""
    batch: list[int] = []
    padded, counted = 0, 1
    for index in indices:
        padded = max(padded, lengths[index])
        if padded * (len(batch) + 1) <= budget and (most is None or counted < most):
            batch.append(index)
            counted += 1
        else:
            yield batch
            batch, padded, counted = [index], lengths[index], 1
    if batch:
        yield batch


def _dealt(batches: list[list[int]], epoch: int, rank: int, world: int) -> list[list[int]]:
    """Every `world`-th batch; the ranks that would get one fewer are given one that was drawn at random."""
    missing = -len(batches) % world
    return (batches + random.Random(epoch).choices(batches, k=missing))[rank::world]
