"""Batches from samples: audio is read and features are made in worker processes, ahead of the loop."""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from voxtune.data.audio import load
from voxtune.data.example import AudioInput, Batch, Example, muted, pack
from voxtune.data.feature_cache import FeatureCache
from voxtune.data.plan import Plan, packs
from voxtune.data.sample import AudioPart, Sample
from voxtune.errors import VoxtuneError
from voxtune.families.family import Layout
from voxtune.training.corpus import Corpus


@dataclass(frozen=True)
class Pack:
    """Samples that a device holds at once.

    epoch: seeds their augmentation, None = none. muted: without labels, for a process that has no sample in a step.
    """

    samples: tuple[int, ...]
    epoch: int | None = None
    muted: bool = False


class Packs(Dataset[Batch | VoxtuneError]):
    """Turns a Pack into a Batch. An error is returned, not raised, so that its message survives the worker."""

    def __init__(self, corpus: Corpus, layout: Layout, cache: FeatureCache | None, seed: int) -> None:
        self.corpus = corpus
        self.layout = layout
        self.cache = cache
        self.seed = seed

    def __getitem__(self, request: Pack) -> Batch | VoxtuneError:
        try:
            batch = pack([self.example(number, request.epoch) for number in request.samples])
        except VoxtuneError as error:
            return error
        return muted(batch) if request.muted else batch

    def example(self, number: int, epoch: int | None) -> Example:
        """One sample's example; its random numbers follow from (seed, epoch, sample)."""
        sample = self.corpus.samples[number]
        random = None if epoch is None else np.random.default_rng([self.seed, epoch, number])
        example = self.layout.example(sample, self.heard(sample), random)
        return replace(example, seconds=self.corpus.sizes[number].seconds)

    def heard(self, sample: Sample) -> list[Tensor | AudioInput]:
        """The sample's recordings: what the cache holds of them, else their waveforms."""
        return [self._audio(part) for part in sample.audio]

    def _audio(self, part: AudioPart) -> Tensor | AudioInput:
        cached = self.cache.get(part) if self.cache else None
        return load(part, self.layout.sample_rate, self.layout.resampler) if cached is None else cached


def batches(dataset: Packs, requests: Iterable[Pack], workers: int) -> Iterator[Batch]:
    """Batches of the requests, in order, made by `workers` processes (0 = in this one). Raises their errors."""
    # One file descriptor a tensor, torch's default, runs out with many short recordings.
    torch.multiprocessing.set_sharing_strategy("file_system")
    loader: DataLoader[Batch | VoxtuneError] = DataLoader(
        dataset,
        sampler=cast("Iterable[int]", requests),
        batch_size=None,
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        worker_init_fn=_begin_worker if workers else None,
    )
    for made in loader:
        if isinstance(made, VoxtuneError):
            raise made
        yield made


def training_steps(
    dataset: Packs, plan: Plan, start: int, tokens_per_batch: int, *, rank: int, world: int, workers: int
) -> Iterator[list[Batch]]:
    """This process's micro-batches of every step from number `start` (counted from 0) on, without end."""
    sizes: deque[int] = deque()

    def requests() -> Iterator[Pack]:
        for epoch, samples in plan.from_step(start):
            own = packs(samples, plan.costs, tokens_per_batch, world)[rank]
            sizes.append(len(own))
            for numbers in own:
                yield Pack(tuple(numbers or samples[:1]), epoch, muted=not numbers)

    stream = batches(dataset, requests(), workers)
    first = next(stream)
    while True:
        micro_batches = [first, *islice(stream, sizes.popleft() - 1)]
        yield micro_batches
        first = next(stream)


def _begin_worker(worker: int) -> None:
    torch.set_num_threads(1)
    # A signal to the whole group (Ctrl-C) is for the loop, which finishes its step and needs its workers for that.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
