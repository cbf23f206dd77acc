"""Small dialogues made on the spot: stereo recordings, lists of words, token files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tests.helpers.recordings import record, tone

WORDS: list[dict[str, Any]] = [
    {"speaker": "A", "word": "hello", "start": 0.2, "end": 0.6},
    {"speaker": "B", "word": "hi", "start": 0.9, "end": 1.2},
    {"speaker": "A", "word": "fine", "start": 1.5, "end": 1.9},
]


def record_stereo(path: Path, seconds: float = 2.0, rate: int = 8000, seed: int = 0) -> Path:
    """A tone for each speaker, left A and right B."""
    channels = [tone(seconds, rate, hertz, seed=2 * seed + side) for side, hertz in enumerate((440, 300))]
    return record(path, np.stack(channels, 1), rate)


def folder_of_dialogues(folder: Path, names: Sequence[str], words: Any = WORDS) -> Path:
    """NAME.wav and NAME.json side by side."""
    for number, name in enumerate(names):
        record_stereo(folder / f"{name}.wav", seed=number)
        (folder / f"{name}.json").write_text(json.dumps(words), encoding="utf-8")
    return folder


def codes(frames: int = 12, codebooks: int = 8, seed: int = 0) -> NDArray[np.int64]:
    """Codes [codebooks, frames]."""
    return np.random.default_rng(seed).integers(0, 2048, (codebooks, frames))


def text(frames: int = 12, seed: int = 0) -> NDArray[np.int64]:
    """Text tokens [frames] without padding."""
    return np.random.default_rng(seed).integers(4, 32000, frames)


def token_folders(
    folder: Path, dialogues: Mapping[str, tuple[Mapping[str, ArrayLike], Mapping[str, ArrayLike]]]
) -> list[Path]:
    """Codes and text of dialogues as nu-dialogue's tools leave them; the two folders."""
    folders = [folder / "tokenized_audio", folder / "tokenized_text"]
    for target, which in zip(folders, (0, 1), strict=True):
        target.mkdir(parents=True, exist_ok=True)
        for name, both in dialogues.items():
            np.savez_compressed(
                target / f"{name}.npz", **{key: np.asarray(array) for key, array in both[which].items()}
            )
    return folders


def good_tokens(seed: int = 0, frames: int = 12) -> tuple[dict[str, ArrayLike], dict[str, ArrayLike]]:
    """Codes and text of one dialogue."""
    return (
        {"A": codes(frames, seed=4 * seed), "B": codes(frames, seed=4 * seed + 1)},
        {"A": text(frames, seed=4 * seed + 2), "B": text(frames, seed=4 * seed + 3)},
    )
