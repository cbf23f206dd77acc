"""Time of an epoch of adaptor-only training, with and without the cache of frozen features.

    python -m benchmarks.feature_cache

The built-in model on the speech of the demo, from reading the files to the optimiser step, in one process and on one
core. Filling the cache happens once and is shown by itself. (How much it saves depends on the sizes: the larger the
language model beside the encoder, the less.)
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from voxtune.demo.fun_asr_nano.story import SPEECH
from voxtune.recipe import parse_recipe
from voxtune.training.monitor import read_log
from voxtune.training.run import train

EPOCHS = 3


def epoch_seconds(folder: Path, cache_gb: float) -> tuple[float, float]:
    """Seconds of an epoch (the mean), and of everything before the first step."""
    recipe = parse_recipe(
        {
            "model": {"family": "fun_asr_nano", "source": "tiny"},
            "data": {
                "train": str(SPEECH / "train_wav.scp"), "workers": 0,
                "feature_cache": str(folder / "cache"), "feature_cache_gb": cache_gb,
            },
            "tune": {"parts": ["audio_adaptor"]},
            "train": {
                "output": str(folder / f"run-{cache_gb:g}"), "tokens_per_step": 1300, "tokens_per_batch": 1300,
                "epochs": EPOCHS, "precision": "fp32", "trackers": [], "checkpoint_every": 10**6,
            },
        },
        "benchmark",
    )  # fmt: skip
    began = time.perf_counter()
    train(recipe, Console(quiet=True))
    whole = time.perf_counter() - began
    steps = [line["time"] for line in read_log(recipe.train.output)]
    # The log's clock starts with the loop; the first step is left out of the mean and counted at the others' pace.
    epoch = (steps[-1] - steps[0]) / (len(steps) - 1) * len(steps) / EPOCHS
    return epoch, whole - epoch * EPOCHS


def main() -> None:
    """Measure and print the table."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        without, before_without = epoch_seconds(Path(folder), 0)
        cached, before_cached = epoch_seconds(Path(folder), 1)
    table = Table(title="Adaptor-only training of the built-in model on the demo's speech")
    for column in ("", "no cache", "cache", "no cache / cache"):
        table.add_column(column, justify="right")
    table.add_row("epoch, s", f"{without:.1f}", f"{cached:.1f}", f"{without / cached:.2f}")
    table.add_row("before the first step, s", f"{before_without:.1f}", f"{before_cached:.1f}", "")
    Console().print(table)


if __name__ == "__main__":
    main()
