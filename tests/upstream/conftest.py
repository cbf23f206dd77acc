"""Upstream's runtimes, for the tests that load our exports with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.upstream.environments import environment


@pytest.fixture(scope="session")
def funasr_python() -> Path:
    """Python of an environment with PyPI `funasr`; a failing pip fails the test."""
    return environment("funasr")


@pytest.fixture(scope="session")
def moshi_python() -> Path:
    """Python of an environment with PyPI `moshi`; a failing pip fails the test."""
    return environment("moshi")
