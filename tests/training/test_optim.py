"""The learning rate as a function of the step."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from voxtune.recipe import ScheduleSection
from voxtune.training.optim import schedule_factor


@pytest.mark.parametrize("kind", ["cosine", "linear", "constant"])
def test_warmup_is_linear_then_the_kind_decides(kind: str) -> None:
    schedule = ScheduleSection(kind=kind, warmup=0.1)
    factors = [schedule_factor(schedule, step, 100) for step in range(1, 101)]
    assert factors[:10] == pytest.approx([i / 10 for i in range(1, 11)])
    assert factors[-1] == pytest.approx(1.0 if kind == "constant" else 0.0, abs=1e-12)
    assert all(a >= b for a, b in pairwise(factors[9:]))


def test_warmup_of_one_or_more_counts_steps() -> None:
    schedule = ScheduleSection(kind="constant", warmup=4)
    assert [schedule_factor(schedule, s, 1000) for s in (1, 2, 4, 5)] == [0.25, 0.5, 1.0, 1.0]


def test_no_warmup_starts_at_the_full_rate() -> None:
    assert schedule_factor(ScheduleSection(kind="constant", warmup=0), 1, 10) == 1.0


@pytest.mark.parametrize(("total", "warmup"), [(100, 0.05), (2000, 0.05), (37, 0.3), (10, 0.05)])
def test_one_cycle_is_that_of_torch(total: int, warmup: float) -> None:
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.AdamW([weight], lr=1.0)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=total, pct_start=warmup)
    for step in range(1, total + 1):
        ours = schedule_factor(ScheduleSection(kind="one_cycle", warmup=warmup), step, total)
        assert ours == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-9)
        optimizer.step()
        if step < total:
            cycle.step()
