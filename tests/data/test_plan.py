"""The order of a run is a pure function of seed, epoch and lengths."""

from __future__ import annotations

from collections import Counter
from itertools import chain, islice

import numpy as np
import pytest

from voxtune.data.plan import Plan, packs


def lengths(count: int, seed: int = 0) -> list[int]:
    return np.random.default_rng(seed).integers(5, 200, count).tolist()


def test_every_sample_is_in_exactly_one_step_and_no_step_is_over_budget() -> None:
    costs = lengths(500)
    steps = Plan(costs, [1.0] * 500, tokens_per_step=1000, seed=3).steps(epoch=0)
    assert sorted(chain.from_iterable(steps)) == list(range(500))
    assert max(sum(costs[s] for s in step) for step in steps) <= 1000


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    costs = lengths(100)
    plan = Plan(costs, [1.0] * 100, 1000, seed=3)
    assert plan.steps(2) == Plan(costs, [1.0] * 100, 1000, seed=3).steps(2)
    assert plan.steps(2) != plan.steps(3)
    assert plan.steps(2) != Plan(costs, [1.0] * 100, 1000, seed=4).steps(2)


def test_from_step_continues_over_epochs() -> None:
    plan = Plan(lengths(50), [1.0] * 50, 700, seed=1)
    whole = list(islice(plan.from_step(0), 30))
    assert len(plan.steps(0)) < 30
    for start in (1, 7, 22):
        assert list(islice(plan.from_step(start), 30 - start)) == whole[start:]


def test_weights_are_passes_an_epoch() -> None:
    plan = Plan([1] * 400, [2.0] * 200 + [0.5] * 200, 100, seed=0)
    seen = Counter(chain.from_iterable(chain.from_iterable(plan.steps(e) for e in range(10))))
    assert all(seen[s] == 20 for s in range(200))
    assert 900 < sum(seen[s] for s in range(200, 400)) < 1100


@pytest.mark.parametrize("world", [1, 2, 3, 8])
def test_packs_hold_the_same_samples_for_any_number_of_processes(world: int) -> None:
    costs = lengths(60)
    by_rank = packs(range(60), costs, tokens_per_batch=400, world=world)
    assert len(by_rank) == world
    assert len({len(own) for own in by_rank}) == 1
    flat = [pack for own in by_rank for pack in own]
    assert sorted(chain.from_iterable(flat)) == list(range(60))
    assert max(sum(costs[s] for s in pack) for pack in flat) <= 400


def test_packs_are_filled_well() -> None:
    costs = lengths(2000)
    flat = packs(range(2000), costs, tokens_per_batch=4000, world=1)[0]
    assert sum(costs) / (len(flat) * 4000) > 0.95


def test_fewer_samples_than_processes_leave_empty_packs() -> None:
    assert sorted(len(own[0]) for own in packs([4], [9] * 5, 10, world=3)) == [0, 0, 1]
