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

RATES = (24000, 8000, 44100)
SHORT, LONG = 100, (120.0, 200.0)
ROUNDS = 3


def recordings(folder: Path, rate: int) -> float:
    """Write stereo wav files cut from the demo's dialogues, laid end to end; the seconds of all.

    Lengths: SHORT of 1 to 75 s (log-normal, median 6 s, sigma 1), and some of LONG minutes.
    """
    shipped = sorted((Path(voxtune.__path__[0]) / "demo" / "moshi" / "dialogues").rglob("*.ogg"))
    speech = np.concatenate([soundfile.read(path, dtype="float32")[0] for path in shipped])
    speech_rate = soundfile.info(shipped[0]).samplerate
    random = np.random.default_rng(0)
    lengths = [*np.exp(random.normal(np.log(6.0), 1.0, SHORT)).clip(1, 75), *LONG]
    folder.mkdir()
    for number, seconds in enumerate(lengths):
        count = int(seconds * speech_rate)
        first = random.integers(len(speech) - count)
        soundfile.write(
            folder / f"{number:03d}.wav", soxr.resample(speech[first : first + count], speech_rate, rate), rate
        )
        (folder / f"{number:03d}.json").write_text("[]")
    return float(sum(lengths))


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


def equal_share(ours: dict[str, list[NDArray[np.int64]]], upstream: Path) -> float:
    """Share of codes that are the same on both sides. Raises ValueError when there are not equally many."""
    equal = total = 0
    for name, both in ours.items():
        with np.load(upstream / f"{name}.npz") as theirs:
            for codes, speaker in zip(both, ("A", "B"), strict=True):
                if codes.shape != theirs[speaker].shape:
                    raise ValueError(f"{name}: {codes.shape} here, {theirs[speaker].shape} by upstream")
                equal += int((codes == theirs[speaker]).sum())
                total += codes.size
    return equal / total


def measure(rate: int, folder: Path, upstream: Upstream) -> tuple[float, float, float]:
    """Audio seconds a second by upstream and by us, and the share of equal codes."""
    audio = folder / f"{rate}"
    seconds, ours = recordings(audio, rate), Ours(audio)
    times: list[list[float]] = [[], []]
    for number in range(ROUNDS):
        theirs, own = folder / f"upstream-{rate}-{number}", folder / f"ours-{rate}-{number}"
        times[0].append(upstream.ask({"audio": str(audio), "output": str(theirs)}))
        times[1].append(ours.run(own))
    same = equal_share(ours.codes(own), theirs)
    return seconds / statistics.median(times[0]), seconds / statistics.median(times[1]), same


def main() -> None:
    """Measure and print the table."""
    torch.set_num_threads(1)
    table = Table(title=f"Encoding {SHORT + len(LONG)} stereo dialogues of 1 s to 4 min: audio seconds a second")
    for column in ("sample rate", "upstream", "voxtune", "voxtune / upstream", "equal codes"):
        table.add_column(column, justify="right")
    with (
        tempfile.TemporaryDirectory() as folder,
        Upstream(environment("moshi"), "benchmarks.upstream_encoding", TINY) as upstream,
    ):
        for rate in RATES:
            theirs, ours, same = measure(rate, Path(folder), upstream)
            table.add_row(f"{rate} Hz", f"{theirs:.0f}", f"{ours:.0f}", f"{ours / theirs:.2f}", f"{same:.3%}")
    Console().print(table)


if __name__ == "__main__":
    main()
