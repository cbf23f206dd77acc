"""Trackers: TensorBoard is there, the others say how to get them."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from voxtune.errors import RecipeError
from voxtune.training.trackers import TRACKERS, open_trackers


def test_tensorboard_writes_events(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    [tracker] = open_trackers(["tensorboard"], tmp_path, {})
    tracker.log(3, {"loss": 1.5})
    tracker.close()
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(3, 1.5)]


@pytest.mark.parametrize("name", sorted(TRACKERS.keys() - {"tensorboard"}))
def test_a_tracker_that_is_not_installed_is_named(tmp_path: Path, name: str) -> None:
    if importlib.util.find_spec(name):
        pytest.skip(f"{name} is installed")
    with pytest.raises(RecipeError, match=f"pip install {name}"):
        open_trackers([name], tmp_path, {})
