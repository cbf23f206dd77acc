"""Small made-up speech corpora: tones that differ, texts that differ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import yaml

from voxtune.recipe import Recipe, load_recipe

WORDS = ["falcon", "marigold", "tempest", "pelican", "jetty", "timber", "channel", "three", "seven", "now"]
SAMPLE_RATE = 16000


def write_corpus(folder: Path, count: int, *, seed: int = 0, name: str = "train") -> Path:
    """Write `count` utterances of 0.4 to 1.6 s as wav.scp and text; returns the wav.scp."""
    random = np.random.default_rng(seed)
    (folder / name).mkdir(parents=True)
    scp, text = [], []
    for number in range(count):
        length = int(random.uniform(0.4, 1.6) * SAMPLE_RATE)
        pitch = random.uniform(100, 900, 3)[:, None]
        tones = np.sin(2 * np.pi * pitch * np.arange(length) / SAMPLE_RATE).mean(0)
        waveform = 0.3 * tones + 0.02 * random.standard_normal(length)
        key = f"{name}{number:03d}"
        soundfile.write(folder / name / f"{key}.wav", waveform, SAMPLE_RATE)
        scp.append(f"{key} {name}/{key}.wav\n")
        text.append(f"{key} {' '.join(random.choice(WORDS, random.integers(2, 6)))}\n")
    (folder / f"{name}_wav.scp").write_text("".join(scp))
    (folder / f"{name}_text.txt").write_text("".join(text))
    return folder / f"{name}_wav.scp"


def write_recipe(folder: Path, source: Path | str, **changes: Any) -> Path:
    """Write a recipe for corpora of `folder` that trains in seconds; `changes` are sections with keys to replace."""
    raw: dict[str, Any] = {
        "model": {"family": "fun_asr_nano", "source": str(source)},
        "data": {"train": str(folder / "train_wav.scp"), "workers": 0, "feature_cache": str(folder / "cache")},
        "tune": {"method": "full", "parts": ["audio_encoder", "audio_adaptor", "llm"]},
        "train": {
            "output": str(folder / "run"), "tokens_per_step": 400, "tokens_per_batch": 400, "epochs": 3,
            "learning_rate": 1e-3, "precision": "fp32", "trackers": [],
        },
    }  # fmt: skip
    if (folder / "validation_wav.scp").exists():
        raw["data"]["validation"] = str(folder / "validation_wav.scp")
    for section, keys in changes.items():
        raw[section] = {**raw.get(section, {}), **keys}
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(raw))
    return path


def recipe(folder: Path, source: Path | str, **changes: Any) -> Recipe:
    """The same, parsed."""
    return load_recipe(write_recipe(folder, source, **changes))
