"""Training on both speakers of dialogues: packs and batched products against upstream's padded batches and loops.

    python -m benchmarks.dialogue_training --upstream FOLDER

FOLDER: a clone of https://github.com/nu-dialogue/moshi-finetune, whose own model, batches and loss are run in an
environment with moshi 0.1.0, which the first run builds. Both sides train the built-in model (16 codebooks) on the same
parquet file in float32 on one thread: forward, backward, clipping and AdamW, batches being made ahead. Compared is the
processor time of each side, by turns, so that other programs on the machine matter little.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import cast

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.memory import peak_gb
from benchmarks.upstream_process import Upstream
from tests.upstream.environments import environment
from voxtune.data.encoded import write_encoded_parquet
from voxtune.data.example import Batch
from voxtune.families import find
from voxtune.families.moshi.config import Options
from voxtune.families.moshi.model import Moshi
from voxtune.recipe import parse_recipe
from voxtune.training.assembly import assemble
from voxtune.training.loading import Pack, Packs
from voxtune.training.optim import adamw
from voxtune.training.parallel import Parallel
from voxtune.training.step import Trainer

REPOSITORY = "https://github.com/nu-dialogue/moshi-finetune"
DIALOGUES = 64
BATCH = 8
LONGEST_ROW = 512
ROUNDS = 3
AT_MOST_APART = 1e-4


def write_dialogues(prefix: Path, count: int, text_card: int, card: int, codebooks: int) -> tuple[Path, list[int]]:
    """A parquet file of random tokens, and the columns of each dialogue's row, delays included.

    Dialogues last 5 s and more (log-normal, median 16 s, sigma 0.7); one frame in four has text.
    """
    random = np.random.default_rng(0)
    lengths = (12.5 * np.exp(random.normal(np.log(16.0), 0.7, count)).clip(5, 120)).astype(int)

    def speaker(frames: int) -> np.ndarray:
        text = np.where(random.random(frames) < 0.25, random.integers(4, text_card, frames), 3)
        return np.concatenate([text[None], random.integers(0, card, (codebooks, frames))])

    rows = ((f"dialogue-{number:03d}", speaker(frames), speaker(frames)) for number, frames in enumerate(lengths))
    return write_encoded_parquet(rows, prefix, count)[0], (lengths + 2).tolist()


class Ours:
    """The pieces of `voxtune train`."""

    def __init__(self, data: Path, tokens_per_step: int) -> None:
        recipe = parse_recipe(
            {
                "model": {
                    "family": "moshi", "source": "tiny", "extend_for_user_stream": True, "max_frames": LONGEST_ROW
                },
                "data": {"train": str(data), "task": "dialogue", "workers": 0},
                "tune": {"parts": {"temporal": 3e-5, "depth": 3e-5}},
                "train": {
                    "output": str(data.parent / "run"), "tokens_per_step": tokens_per_step,
                    "tokens_per_batch": tokens_per_step, "weight_decay": 0.1, "betas": [0.9, 0.95], "epsilon": 1e-5,
                    "clip": 1.0, "schedule": {"kind": "constant"}, "precision": "fp32",
                },
            },
            "benchmark",
        )  # fmt: skip
        parallel = Parallel()
        self.made = assemble(recipe, parallel)
        self.plan = self.made.corpus.plan(recipe)
        # Where a dialogue was split, the last column of a piece stands before the next one too, without labels.
        self.repeated = sum(s.dialogue.piece[0] > 0 for s in self.made.corpus.samples if s.dialogue is not None)
        self.packs = Packs(self.made.corpus, self.made.layout, None, recipe.train.seed)
        self.trainer = Trainer(self.made.model, adamw(self.made.groups, recipe.train), recipe.train, 10**6, parallel)

    def batches(self, epoch: int) -> list[Batch]:
        """The packs of an epoch; here a step is one pack."""
        return [self._batch(samples, epoch) for samples in self.plan.steps(epoch)]

    def epoch(self, batches: list[Batch]) -> float:
        """Train on packs; the seconds that it took."""
        began = time.process_time()
        for number, batch in enumerate(batches, 1):
            self.trainer.step(number, [batch])
        return time.process_time() - began

    def first_loss(self) -> float:
        """Of the first BATCH rows, which are upstream's first rows."""
        return self.trainer.evaluate([self._batch(range(BATCH), 0)])["loss"]

    def _batch(self, samples: Iterable[int], epoch: int) -> Batch:
        batch = self.packs[Pack(tuple(samples), epoch)]
        assert isinstance(batch, Batch)
        return batch


def peak(data: Path, tokens_per_step: int) -> float:
    """Peak memory of an epoch above that of the loaded model, GB."""
    torch.set_num_threads(1)
    ours = Ours(data, tokens_per_step)
    batches = ours.batches(0)
    return peak_gb(lambda: ours.epoch(batches))


def write_data(folder: Path, count: int) -> tuple[Path, Path, int]:
    """The built-in model as upstream's fine-tuner reads it, the dialogues, and frames of a batch without padding."""
    family = find("moshi")
    options = Options(extend_for_user_stream=True)
    model = cast(Moshi, family.load("tiny", options, dtype=torch.float32))
    family.export(model, folder / "model", "moshi-finetune")
    config = model.config
    data, frames = write_dialogues(folder / "train", count, config.text_card, config.card, config.codebooks)
    rows = sum(-(-columns // LONGEST_ROW) for columns in frames)
    return folder / "model", data, BATCH * sum(frames) // rows


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--upstream", type=Path, metavar="FOLDER", help="a clone of nu-dialogue/moshi-finetune")
    clone = parser.parse_args().upstream
    if clone is None or not (clone / "finetune.py").is_file():
        parser.error(f"upstream's code is needed: git clone {REPOSITORY}, and --upstream moshi-finetune")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        model, data, tokens_per_step = write_data(Path(name), DIALOGUES)
        arguments = (clone.resolve(), model, data, str(BATCH), str(LONGEST_ROW))
        with Upstream(environment("moshi-finetune"), "benchmarks.upstream_training", *arguments) as upstream:
            Console().print(compare(upstream, data, tokens_per_step))


def compare(upstream: Upstream, data: Path, tokens_per_step: int) -> Table:
    """Both sides by turns. Raises ValueError when they do not see the same frames, or give another loss."""
    ours = Ours(data, tokens_per_step)
    losses = upstream.ask({"do": "first_loss"}), ours.first_loss()
    if abs(losses[0] - losses[1]) > AT_MOST_APART:
        raise ValueError(f"the loss of the same rows is {losses[0]} by upstream and {losses[1]} by us")
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        peaks = upstream.ask({"do": "peak"}), pool.apply(peak, (data, tokens_per_step))
    times: list[list[float]] = [[], []]
    for number in range(ROUNDS):
        theirs, batches = upstream.ask({"do": "epoch"}), ours.batches(number)
        frames = sum(sum(batch.lengths) for batch in batches) - ours.repeated
        if frames != theirs["frames"]:
            raise ValueError(f"{theirs['frames']} frames by upstream, {frames} by us")
        times[0].append(theirs["seconds"])
        times[1].append(ours.epoch(batches))
    speed = [frames / statistics.median(seconds) for seconds in times]
    table = Table(title=f"Training on both speakers of {DIALOGUES} dialogues")
    for column in ("", "upstream", "voxtune", "ratio"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_row("loss of the same rows", *(f"{loss:.5f}" for loss in losses), "")
    table.add_row("padding share", f"{1 - frames / theirs['places']:.0%}", "0%", "")
    table.add_row("useful frames/s", *(f"{value:.0f}" for value in speed), f"{speed[1] / speed[0]:.2f}")
    table.add_row("peak memory, GB", *(f"{value:.2f}" for value in peaks), f"{peaks[1] / peaks[0]:.2f}")
    return table


if __name__ == "__main__":
    main()
