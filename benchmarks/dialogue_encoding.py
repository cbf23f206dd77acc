"""Stereo dialogues to Mimi's codes: what `voxtune encode` does against upstream's tools/tokenize_audio.py.

    python -m benchmarks.dialogue_encoding

Both sides read the same files, resample, encode both channels with the built-in codec in float32 on one thread, and
write their files. Upstream is PyPI moshi in an environment of its own, which the first run builds. Compared is the
processor time of each side, by turns, so that other programs on the machine matter little.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

import voxtune
from benchmarks.upstream_process import Upstream
from tests.upstream.environments import environment
from voxtune.data.feature_cache import FeatureCache
from voxtune.encoding import fill_cache
from voxtune.families.moshi import TINY
from voxtune.recipe import parse_recipe
from voxtune.training.assembly import assemble
from voxtune.training.parallel import Parallel

RATES = (24000, 8000)
SHORT, LONG = "100 of 1 to 75 s", "3 of 2 to 10 min"
ROUNDS = 3


def lengths() -> dict[str, list[float]]:
    """Seconds of the dialogues: the short ones are log-normal (median 6 s, sigma 1)."""
    random = np.random.default_rng(0)
    return {SHORT: np.exp(random.normal(np.log(6.0), 1.0, 100)).clip(1, 75).tolist(), LONG: [150, 240, 600]}


def write_recordings(folder: Path, durations: list[float], rate: int) -> None:
    """Write stereo wav files cut from the demo's dialogues, laid end to end in a ring."""
    shipped = sorted((Path(voxtune.__path__[0]) / "demo" / "moshi" / "dialogues").rglob("*.ogg"))
    speech = np.concatenate([soundfile.read(path, dtype="float32")[0] for path in shipped])
    speech_rate = soundfile.info(shipped[0]).samplerate
    random = np.random.default_rng(0)
    folder.mkdir()
    for number, seconds in enumerate(durations):
        count = int(seconds * speech_rate)
        first = random.integers(len(speech))
        cut = speech.take(range(first, first + count), 0, mode="wrap")
        cut = soxr.resample(cut, speech_rate, rate)
        soundfile.write(folder / f"{number:03d}.wav", cut, rate)
        (folder / f"{number:03d}.json").write_text("[]")


class Ours:
    """What `voxtune encode` does once the model is loaded."""

    def __init__(self, folder: Path) -> None:
        self.recipe = parse_recipe(
            {
                "model": {"family": "moshi", "source": "tiny"},
                "data": {"train": str(folder), "task": "dialogue", "workers": 0},
                "train": {"output": str(folder / "run"), "precision": "fp32", "tokens_per_batch": 8192},
            },
            "benchmark",
        )
        self.parallel = Parallel()
        self.made = assemble(self.recipe, self.parallel)
        encoder = self.made.family.frozen_encoder(self.made.model, self.made.layout, set())
        assert encoder is not None
        self.encoder = encoder

    def run(self, output: Path) -> float:
        """Encode everything into a new cache; the seconds that it took."""
        samples = self.made.corpus.samples
        began = time.process_time()
        fill_cache(
            self.recipe,
            self.made.layout,
            self.encoder,
            self._cache(output),
            samples,
            self.parallel,
            Console(quiet=True),
        )
        return time.process_time() - began

    def codes(self, output: Path) -> dict[str, list[NDArray[np.int64]]]:
        """Of each recording the codes of both channels, [codebooks, frames]."""
        cache = self._cache(output)
        found = {sample.key: [cache.get(part) for part in sample.audio] for sample in self.made.corpus.samples}
        return {name: [audio.features.T.long().numpy() for audio in both if audio] for name, both in found.items()}

    def _cache(self, output: Path) -> FeatureCache:
        return FeatureCache(output, self.encoder.stage, self.encoder.fingerprint, 10**10)


def compare(ours: dict[str, list[NDArray[np.int64]]], upstream: Path) -> NDArray[np.int64]:
    """How many codes are the same on both sides, and how many there are. Raises ValueError when one side has more."""
    counts = np.zeros(2, dtype=np.int64)
    for name, both in ours.items():
        with np.load(upstream / f"{name}.npz") as theirs:
            for codes, speaker in zip(both, ("A", "B"), strict=True):
                if codes.shape != theirs[speaker].shape:
                    raise ValueError(f"{name}: {codes.shape} here, {theirs[speaker].shape} by upstream")
                counts += (codes == theirs[speaker]).sum(), codes.size
    return counts


@dataclass
class Measured:
    """Seconds of audio, processor seconds of upstream and of ours, equal codes and all codes."""

    audio: float
    upstream: float
    ours: float
    codes: NDArray[np.int64]

    def __add__(self, other: Measured) -> Measured:
        return Measured(
            self.audio + other.audio,
            self.upstream + other.upstream,
            self.ours + other.ours,
            self.codes + other.codes,
        )

    def cells(self) -> list[str]:
        """Audio seconds a second of both sides, their ratio, and the share of equal codes."""
        speed = [self.audio / seconds for seconds in (self.upstream, self.ours)]
        share = f"{self.codes[0] / self.codes[1]:.3%}"
        return [*(f"{value:.0f}" for value in speed), f"{speed[1] / speed[0]:.2f}", share]


def measure(durations: list[float], rate: int, folder: Path, upstream: Upstream) -> Measured:
    """Encode new recordings by turns."""
    audio = folder / "audio"
    write_recordings(audio, durations, rate)
    ours = Ours(audio)
    times: list[list[float]] = [[], []]
    for number in range(ROUNDS):
        theirs, own = folder / f"upstream-{number}", folder / f"ours-{number}"
        times[0].append(upstream.ask({"audio": str(audio), "output": str(theirs)}))
        times[1].append(ours.run(own))
    upstream_seconds, our_seconds = map(statistics.median, times)
    return Measured(sum(durations), upstream_seconds, our_seconds, compare(ours.codes(own), theirs))


def main() -> None:
    """Measure and print the table."""
    torch.set_num_threads(1)
    table = Table(title="Stereo dialogues to codes: audio seconds a second")
    for column in ("dialogues", "Hz", "upstream", "voxtune", "ratio", "equal codes"):
        table.add_column(column, justify="right", no_wrap=True)
    with Upstream(environment("moshi"), "benchmarks.upstream_encoding", TINY) as upstream:
        for rate in RATES:
            found = []
            for name, durations in lengths().items():
                with tempfile.TemporaryDirectory() as folder:
                    found.append(measure(durations, rate, Path(folder), upstream))
                table.add_row(name, str(rate), *found[-1].cells())
            table.add_row("all", str(rate), *(found[0] + found[1]).cells(), end_section=True)
    Console().print(table)


if __name__ == "__main__":
    main()
