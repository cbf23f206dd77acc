"""Milliseconds a frame of 80 ms: what `voxtune converse` and `voxtune serve` do, against doing without a cache and
against PyPI moshi's LMGen.

    python -m benchmarks.dialogue_generation

The built-in language model in float32 on one thread; codec and files are left out. Upstream is PyPI moshi in an
environment of its own, which the first run builds. Compared is the processor time of each side, by turns, so that other
programs on the machine matter little. Both sides draw tokens by the same rules; their greedy tokens have to be equal.
"""

from __future__ import annotations

import statistics
import time

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks.upstream_process import Upstream
from tests.upstream.environments import environment
from voxtune.families.family import DialogueSettings
from voxtune.families.moshi import TINY
from voxtune.families.moshi.checkpoint import load_folder
from voxtune.families.moshi.config import Options
from voxtune.families.moshi.duplex import LiveRows
from voxtune.families.moshi.frames import UNKNOWN, FrameSampling, continue_rows, frame_sampling, next_frame
from voxtune.families.moshi.model import Moshi
from voxtune.parts.attention import Segments
from voxtune.parts.sampling import Noise, Sampling

PROMPT, FRAMES = 125, 50
ROUNDS = 3
BATCHES = (1, 8)
CPU = torch.device("cpu")
SETTINGS = DialogueSettings()
DRAWN = frame_sampling(SETTINGS)
GREEDY = FrameSampling(Sampling(0), Sampling(0))
UPSTREAM_DRAWN = {
    "temp": SETTINGS.temperature,
    "top_k": SETTINGS.top_k,
    "temp_text": SETTINGS.text_temperature,
    "top_k_text": SETTINGS.text_top_k,
}


def random_rows(model: Moshi, frames: int, batch: int, seed: int) -> Tensor:
    """Tokens [batch, 1 + n_q, frames]."""
    random = torch.Generator().manual_seed(seed)
    limits = torch.tensor(model.config.initial_tokens)[:, None]
    return (torch.rand(batch, len(limits), frames, generator=random) * limits).long()


def cached(model: Moshi, prompt: Tensor, given: Tensor) -> tuple[Tensor, float]:
    """The frames behind a prompt, and the processor seconds of each (the prompt's own time among them)."""
    noise = Noise(range(len(prompt)), CPU)
    began = time.process_time()
    rows = continue_rows(model, prompt, FRAMES, DRAWN, noise, given)
    return rows, (time.process_time() - began) / FRAMES


@torch.inference_mode()
def computed_anew(model: Moshi, prompt: Tensor, given: Tensor) -> tuple[Tensor, float]:
    """The same, each frame from the whole rows before it."""
    noise = Noise(range(len(prompt)), CPU)
    predicted = 1 + model.config.dep_q
    rows = given.clone()
    began = time.process_time()
    for frame in range(FRAMES):
        before = torch.cat([prompt, rows[:, :, :frame]], 2)
        length = before.shape[2]
        packed = before.transpose(0, 1).flatten(1)
        hidden = model.frames(packed, Segments([length] * len(before), CPU))[length - 1 :: length]
        rows[:, :predicted, frame] = next_frame(model, hidden, DRAWN, noise, model.config.dep_q)
    return rows, (time.process_time() - began) / FRAMES


def continuation(model: Moshi, batch: int) -> tuple[float, float]:
    """Median seconds a frame without a cache, and as `voxtune converse` does it. Raises ValueError when they differ."""
    prompt, given = random_rows(model, PROMPT, batch, 0), random_rows(model, FRAMES, batch, 1)
    given[:, : 1 + model.config.dep_q] = UNKNOWN
    times: list[list[float]] = [[], []]
    for _ in range(ROUNDS):
        anew, seconds = computed_anew(model, prompt, given)
        times[0].append(seconds)
        kept, seconds = cached(model, prompt, given)
        times[1].append(seconds)
        if not torch.equal(anew, kept):
            raise ValueError("the cache changes what is said")
    return statistics.median(times[0]), statistics.median(times[1])


def live(model: Moshi, heard: Tensor, sampling: FrameSampling) -> tuple[list[list[list[int]]], list[float]]:
    """What is said to codes [frames, batch, codebooks], and the processor seconds of each frame."""
    rows = LiveRows(model, sampling, range(heard.shape[1]))
    said, seconds = [], []
    for codes in heard:
        began = time.process_time()
        tokens = rows.step(codes)
        seconds.append(time.process_time() - began)
        if tokens is not None:
            said.append(tokens.tolist())
    return said, seconds


def conversation(model: Moshi, upstream: Upstream, batch: int) -> tuple[float, float]:
    """Median seconds a frame of LMGen and of ours. Raises ValueError when their greedy tokens differ."""
    own = 1 + model.config.codebooks
    heard = random_rows(model, FRAMES, batch, 2)[:, own:].permute(2, 0, 1)
    request = {"codes": heard.tolist()}
    theirs = upstream.ask({**request, "sampling": {"use_sampling": False}})
    if theirs["said"] != live(model, heard, GREEDY)[0]:
        raise ValueError("LMGen says something else")
    times: list[list[float]] = [[], []]
    for _ in range(ROUNDS):
        times[0] += upstream.ask({**request, "sampling": UPSTREAM_DRAWN})["seconds"]
        times[1] += live(model, heard, DRAWN)[1]
    return statistics.median(times[0]), statistics.median(times[1])


def main() -> None:
    """Measure and print the table."""
    torch.set_num_threads(1)
    model = load_folder(TINY, Options())
    table = Table(title="Milliseconds a frame of the built-in Moshi")
    for column in ("", "no cache", "LMGen", "voxtune", "times faster"):
        table.add_column(column, justify="right")
    with Upstream(environment("moshi"), "benchmarks.upstream_generation", TINY) as upstream:
        for batch in BATCHES:
            anew, ours = continuation(model, batch)
            what = f"{FRAMES} frames behind {PROMPT}, {batch} at once"
            table.add_row(what, f"{anew * 1e3:.1f}", "", f"{ours * 1e3:.1f}", f"{anew / ours:.1f}")
        for batch in BATCHES:
            theirs, ours = conversation(model, upstream, batch)
            what = f"live, {batch} at once"
            table.add_row(what, "", f"{theirs * 1e3:.1f}", f"{ours * 1e3:.1f}", f"{theirs / ours:.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
