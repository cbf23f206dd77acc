"""Small made-up dialogues: two voices of tones that take turns, with the times of their words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import yaml

WORDS = ["taxi", "station", "street", "please", "thank", "you", "left", "where", "to", "now"]
SAMPLE_RATE = 24000


def write_dialogues(folder: Path, count: int, *, seed: int = 0, rate: int = SAMPLE_RATE, seconds: float = 3.0) -> Path:
    """Write `count` dialogues of about so many seconds, stereo NAME.wav and NAME.json; returns the folder."""
    random = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for number in range(count):
        length = int(random.uniform(0.6, 1.4) * seconds * rate)
        channels = 0.01 * random.standard_normal((length, 2))
        words, start, speaker = [], 0.1, int(random.integers(2))
        while start + 0.5 < length / rate:
            for word in random.choice(WORDS, random.integers(1, 3)):
                span = random.uniform(0.15, 0.4)
                stretch = slice(int(start * rate), min(length, int((start + span) * rate)))
                pitch = (120 if speaker == 0 else 210) + 10 * WORDS.index(str(word))
                times = np.arange(stretch.stop - stretch.start) / rate
                channels[stretch, speaker] += 0.3 * np.sin(2 * np.pi * pitch * times)
                end = min(start + span, length / rate)
                words.append({"speaker": "AB"[speaker], "word": str(word), "start": start, "end": end})
                start = end
                if start + 0.5 >= length / rate:
                    break
            start, speaker = start + random.uniform(0.05, 0.3), 1 - speaker
        soundfile.write(folder / f"d{number:03d}.wav", channels, rate)
        (folder / f"d{number:03d}.json").write_text(json.dumps(words))
    return folder


def write_dialogue_recipe(folder: Path, **changes: Any) -> Path:
    """Write a recipe for `folder`/train and `folder`/validation that trains in seconds; `changes` are sections with
    keys to replace."""
    raw: dict[str, Any] = {
        "model": {"family": "moshi", "source": "tiny", "speakers": ["A", "B"], "max_frames": 40},
        "data": {
            "train": str(folder / "train"), "task": "dialogue", "workers": 0, "feature_cache": str(folder / "cache"),
        },
        "tune": {"method": "full", "parts": ["temporal", "depth"]},
        "train": {
            "output": str(folder / "run"), "tokens_per_step": 240, "tokens_per_batch": 120, "epochs": 2,
            "learning_rate": 1e-3, "precision": "fp32", "trackers": [],
        },
    }  # fmt: skip
    if (folder / "validation").exists():
        raw["data"]["validation"] = str(folder / "validation")
    for section, keys in changes.items():
        raw[section] = {**raw.get(section, {}), **keys}
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(raw))
    return path
