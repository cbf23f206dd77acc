"""Upstream's warmuplr: `schedule.kind: inverse_sqrt`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.parity.conftest import cases
from voxtune.recipe import ScheduleSection
from voxtune.training.optim import schedule_factor


@pytest.mark.parametrize("case", cases("fun-asr-nano", "schedule"), ids=lambda path: path.name)
def test_learning_rate_of_every_recorded_step(case: Path) -> None:
    recorded = json.loads((case / "outputs.json").read_text())
    schedule = ScheduleSection(kind="inverse_sqrt", warmup=recorded["warmup_steps"])
    for step, expected in recorded["lr_used_by_optimizer_step_n"].items():
        used = recorded["lr"] * schedule_factor(schedule, int(step), total=10_000)
        assert used == pytest.approx(expected, rel=1e-12)
