"""Which samples make which step, and which of them a device holds at once.

Both are pure functions of their arguments, computed alike on every rank: a run is continued from a step number, and
on another number of processes.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Plan:
    """The order of a training run.

    costs: of each sample, in tokens; weights: how often each is seen in an epoch (0.5 = every other epoch on
    average); tokens_per_step: what an optimiser step holds over all processes.
    """

    costs: Sequence[int]
    weights: Sequence[float]
    tokens_per_step: int
    seed: int

    def steps(self, epoch: int) -> list[list[int]]:
        """Sample numbers of every step of an epoch, epochs counted from 0. Every sample is in exactly one step."""
        random = np.random.default_rng([self.seed, epoch])
        order = random.permutation(self._drawn(random))
        steps: list[list[int]] = []
        room = 0
        for sample in order.tolist():
            cost = self.costs[sample]
            if not steps or cost > room:
                steps.append([])
                room = self.tokens_per_step
            steps[-1].append(sample)
            room -= cost
        return steps

    def _drawn(self, random: np.random.Generator) -> np.ndarray:
        weights = np.asarray(self.weights, dtype=np.float64)
        whole = np.floor(weights).astype(np.int64)
        extra = random.random(len(weights)) < weights - whole
        return np.repeat(np.arange(len(weights)), whole + extra)

    def from_step(self, step: int) -> Iterator[tuple[int, list[int]]]:
        """(epoch, samples) of every step from number `step` on (counted from 0), without end."""
        epoch = 0
        while True:
            steps = self.steps(epoch)
            if step < len(steps):
                for samples in steps[step:]:
                    yield epoch, samples
                step = 0
            else:
                step -= len(steps)
            epoch += 1


def packs(samples: Sequence[int], costs: Sequence[int], tokens_per_batch: int, world: int) -> list[list[list[int]]]:
    """Divide samples into packs of at most `tokens_per_batch`: for each rank, the same number of packs.

    The fewest packs that fit, filled evenly (longest first into the emptiest), so that ranks finish together. With
    fewer samples than packs some are empty. A sample above `tokens_per_batch` is refused before a run starts.
    """
    total = sum(costs[s] for s in samples)
    longest_first = sorted(samples, key=lambda s: (-costs[s], s))
    rounds = max(1, -(-total // (world * tokens_per_batch)))
    while (bins := _fill(longest_first, costs, rounds * world, tokens_per_batch)) is None:
        rounds += 1
    return [bins[rank::world] for rank in range(world)]


def _fill(longest_first: list[int], costs: Sequence[int], count: int, limit: int) -> list[list[int]] | None:
    bins: list[list[int]] = [[] for _ in range(count)]
    emptiest = [(0, number) for number in range(count)]
    for sample in longest_first:
        held, number = emptiest[0]
        if held and held + costs[sample] > limit:
            return None
        bins[number].append(sample)
        heapq.heapreplace(emptiest, (held + costs[sample], number))
    return bins
