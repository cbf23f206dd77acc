"""The environment in which upstream's runtime runs, kept apart from ours and built once per machine."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REQUIREMENTS = Path(__file__).with_name("requirements-funasr.txt")


@pytest.fixture(scope="session")
def funasr_python() -> Path:
    """Python of a virtual environment with PyPI `funasr`, as pinned in requirements-funasr.txt.

    Kept in `$XDG_CACHE_HOME/voxtune/upstream-funasr` (default ~/.cache) and rebuilt when the pins change. Building
    needs the network or a warm pip cache, about 1.6 GB and a few minutes; a failing pip fails the test.
    """
    text = REQUIREMENTS.read_text(encoding="utf-8")
    wanted = hashlib.sha256(f"{sys.version_info[:2]} {text}".encode()).hexdigest()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    environment = cache / "voxtune" / "upstream-funasr"
    python = environment / "bin" / "python"
    marker = environment / "requirements.sha256"
    if marker.exists() and marker.read_text(encoding="utf-8") == wanted:
        return python

    shutil.rmtree(environment, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    pins = [line for line in text.splitlines() if line and not line.startswith("#")]
    funasr = [pin for pin in pins if pin.startswith("funasr==")]
    dependencies = [pin for pin in pins if pin not in funasr]
    install = [str(python), "-m", "pip", "install", "--quiet"]
    subprocess.run([*install, *dependencies], check=True)
    subprocess.run([*install, "--no-deps", *funasr], check=True)
    marker.write_text(wanted, encoding="utf-8")
    return python
