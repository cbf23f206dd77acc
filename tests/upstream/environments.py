"""Environments in which upstream's code runs, kept apart from ours and built once per machine."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from filelock import FileLock


def environment(name: str) -> Path:
    """Python of a virtual environment with the pins of requirements-NAME.txt beside this file.

    The first pin is upstream's package; it is installed without what its metadata asks for, the others with it. Kept
    in `$XDG_CACHE_HOME/voxtune/upstream-NAME` (default ~/.cache) and rebuilt when the pins change. Building needs the
    network or a warm pip cache, more than 1 GB and a few minutes; a failing pip raises CalledProcessError.
    """
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "voxtune" / f"upstream-{name}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        return _built(folder, name)


def _built(folder: Path, name: str) -> Path:
    text = Path(__file__).with_name(f"requirements-{name}.txt").read_text(encoding="utf-8")
    wanted = hashlib.sha256(f"{sys.version_info[:2]} {text}".encode()).hexdigest()
    python = folder / "bin" / "python"
    marker = folder / "requirements.sha256"
    if marker.exists() and marker.read_text(encoding="utf-8") == wanted:
        return python

    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    package, *others = [line for line in text.splitlines() if line and not line.startswith("#")]
    install = [str(python), "-m", "pip", "install", "--quiet"]
    subprocess.run([*install, *others], check=True)
    subprocess.run([*install, "--no-deps", package], check=True)
    marker.write_text(wanted, encoding="utf-8")
    return python
