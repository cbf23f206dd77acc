"""Reads every recording of the data once, in threads: its header, or all of its samples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from rich.console import Console
from rich.progress import track

from voxtune.data.audio import probe
from voxtune.data.sample import AudioPart, Sample
from voxtune.data.signal import Signal, measure_signal
from voxtune.errors import DataError

Identity = tuple[str, float, float | None, int | None]
CHUNK = 64
WINDOW = 1024


@dataclass(frozen=True)
class Recording:
    """What was found in a recording. `content`: the same for the same content; without decoding, for the same part
    of the same file. `signal`: None without decoding."""

    seconds: float
    sample_rate: int
    content: str
    signal: Signal | None


def identity(part: AudioPart) -> Identity:
    """What tells parts of files apart."""
    return part.path, part.start, part.duration, part.channel


def read_recordings(
    samples: Iterable[Sample], *, quick: bool, console: Console | None
) -> dict[Identity, Recording | DataError]:
    """All recordings of the samples, each read once; a DataError in place of one that cannot be read.

    quick: headers only.
    """
    parts = list({identity(part): part for sample in samples for part in sample.audio}.values())
    chunks = [parts[start : start + CHUNK] for start in range(0, len(parts), CHUNK)] if quick else [[p] for p in parts]
    found: dict[Identity, Recording | DataError] = {}
    with ThreadPoolExecutor() as pool:
        for chunk in _in_windows(pool, chunks, quick, console):
            found.update(chunk)
    return found


def _in_windows(
    pool: ThreadPoolExecutor, chunks: Sequence[Sequence[AudioPart]], quick: bool, console: Console | None
) -> Iterator[dict[Identity, Recording | DataError]]:
    done = (
        result
        for start in range(0, len(chunks), WINDOW)
        for result in pool.map(lambda chunk: _read_all(chunk, quick), chunks[start : start + WINDOW])
    )
    hidden = console is None or not console.is_terminal
    yield from track(done, "reading recordings", len(chunks), console=console, disable=hidden, transient=True)


def _read_all(parts: Sequence[AudioPart], quick: bool) -> dict[Identity, Recording | DataError]:
    return {identity(part): _read(part, quick) for part in parts}


def _read(part: AudioPart, quick: bool) -> Recording | DataError:
    try:
        if quick:
            info = probe(part)
            return Recording(info.seconds, info.sample_rate, repr(identity(part)), None)
        signal = measure_signal(part)
        return Recording(signal.seconds, signal.sample_rate, signal.digest, signal)
    except DataError as error:
        return error
