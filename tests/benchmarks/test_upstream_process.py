"""Requests to a process of another environment; here our own Python stands for it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.upstream_process import Upstream


def test_answers_come_back_in_order_and_prints_do_not_mix_in() -> None:
    with Upstream(Path(sys.executable), "tests.benchmarks.parrot") as upstream:
        assert [upstream.ask({"say": word}) for word in ("good", "morning")] == [{"said": "good"}, {"said": "morning"}]
    assert upstream.process.returncode == 0


def test_a_process_that_ends_is_an_error() -> None:
    with (
        Upstream(Path(sys.executable), "tests.benchmarks.parrot") as upstream,
        pytest.raises(EOFError, match="ended with code 3"),
    ):
        upstream.ask({"say": "farewell"})
