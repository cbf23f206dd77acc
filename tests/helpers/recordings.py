"""Small recordings made on the spot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray


def tone(
    seconds: float = 0.5,
    rate: int = 16000,
    hertz: float = 440.0,
    level: float = 0.3,
    noise: float = 0.01,
    seed: int = 0,
) -> NDArray[np.float32]:
    """A sine with a little noise, float32 [samples]."""
    time = np.arange(round(seconds * rate)) / rate
    random = np.random.default_rng(seed).standard_normal(len(time))
    return (level * np.sin(2 * np.pi * hertz * time) + noise * level * random).astype(np.float32)


def record(path: Path, samples: NDArray[np.float32] | None = None, rate: int = 16000, **how: str) -> Path:
    """Write a file in the format of its ending; opus too. Without samples a tone of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if samples is None:
        samples = tone(rate=rate, seed=sum(path.name.encode()))
    if path.suffix == ".opus":
        how = {"format": "OGG", "subtype": "OPUS"}
    soundfile.write(path, samples, rate, **how)
    return path
