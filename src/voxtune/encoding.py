"""Audio to frozen features ahead of training: what the cache lacks is computed once, in batches."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from fnmatch import fnmatchcase
from itertools import groupby
from typing import cast

import torch
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from voxtune.data.audio import load_channels, probe
from voxtune.data.feature_cache import FeatureCache
from voxtune.data.remote import audio_cache
from voxtune.data.sample import AudioPart, Sample
from voxtune.errors import VoxtuneError
from voxtune.families.family import AudioEncoder, Family, Layout, Model
from voxtune.parts.precision import autocast
from voxtune.recipe import Recipe
from voxtune.training.parallel import Parallel


@dataclass(frozen=True)
class Recording:
    """A recording that the cache lacks, and the name of its entry there."""

    key: str
    part: AudioPart
    seconds: float


@dataclass(frozen=True)
class Survey:
    """What the cache lacks of some samples, and how many of their recordings it holds."""

    missing: list[Recording]
    cached: int

    @property
    def seconds(self) -> float:
        """Audio that is missing."""
        return sum(recording.seconds for recording in self.missing)


@dataclass(frozen=True)
class EncodingReport:
    """Recordings encoded, found in the cache, and left out because it is full; bytes stored and the audio in them."""

    encoded: int
    cached_already: int
    skipped_full: int
    bytes: int
    seconds_of_audio: float


def survey(
    samples: Sequence[Sample], cache: FeatureCache, console: Console, *, rank: int = 0, world: int = 1
) -> Survey:
    """Look for this process's share of the recordings in the cache.

    The share follows from the samples alone, so that processes agree on it. Raises DataError naming a recording that
    cannot be read.
    """
    own = sorted(_recordings(samples)[rank::world], key=lambda part: part.path)
    files = [list(parts) for _, parts in groupby(own, key=lambda part: part.path)]
    missing: dict[str, Recording] = {}
    cached: set[str] = set()

    def look(parts: list[AudioPart]) -> None:
        for part in parts:
            key = cache.key(part)
            if key in cache:
                cached.add(key)
            else:
                missing[key] = Recording(key, part, probe(part).seconds)

    columns = (TextColumn("looking for cached features"), BarColumn(bar_width=24), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as bar, ThreadPoolExecutor() as pool:
        for _ in bar.track(pool.map(look, files), total=len(files)):
            pass
    return Survey(sorted(missing.values(), key=lambda r: (r.part.path, r.part.start)), len(cached))


def encode(
    found: Survey,
    layout: Layout,
    encoder: AudioEncoder,
    cache: FeatureCache,
    console: Console,
    *,
    tokens_per_batch: int,
    workers: int = 0,
) -> EncodingReport:
    """Compute what is missing, batch by batch, and store it until the cache is full. What was stored when the process
    is killed stays.

    Audio is read by `workers` processes (0 = in this one), ahead of the encoder. Raises DataError naming a recording
    that cannot be read, or the folder when it cannot be written to.
    """
    batches = list(_batches(found.missing, encoder.rows_per_second, tokens_per_batch))
    encoded = written = 0
    seconds = 0.0
    columns = (TextColumn(f"encoding ({encoder.stage})"), BarColumn(bar_width=24), _Amounts(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not batches) as bar:
        task = bar.add_task("", total=found.seconds, written=0)
        for batch, rows in zip(batches, _rows(batches, layout, encoder.front_end, workers), strict=True):
            sizes = [cache.put(recording.key, audio) for recording, audio in zip(batch, encoder(rows), strict=True)]
            encoded += sum(size > 0 for size in sizes)
            written += sum(sizes)
            seconds += sum(recording.seconds for recording, size in zip(batch, sizes, strict=True) if size)
            bar.update(task, completed=seconds, written=written)
            if not all(sizes):
                break
    return EncodingReport(encoded, found.cached, len(found.missing) - encoded, written, seconds)


def trained_parts(family: Family, model: Model) -> set[str]:
    """Parts of which some parameter is trained, also when a recipe names parameters by a pattern of its own."""
    names = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    return {
        part
        for part, patterns in family.parts.items()
        if any(fnmatchcase(name, pattern) for pattern in patterns for name in names)
    }


def open_cache(recipe: Recipe, encoder: AudioEncoder) -> FeatureCache:
    """The cache that a recipe names. Precision is part of an entry's identity where it changes the numbers."""
    data = recipe.data
    precision = "fp32" if encoder.codes else recipe.train.precision
    identity = hashlib.sha256(f"{encoder.fingerprint} {precision}".encode()).hexdigest()
    folder = data.feature_cache or audio_cache().with_name("features")
    return FeatureCache(folder, encoder.stage, identity, int(data.feature_cache_gb * 1e9))


def fill_cache(
    recipe: Recipe,
    layout: Layout,
    encoder: AudioEncoder,
    cache: FeatureCache,
    samples: Sequence[Sample],
    parallel: Parallel,
    console: Console,
) -> EncodingReport:
    """Bring the samples' frozen features into the cache, all processes together, and say so. Counts are over all."""
    own = survey(samples, cache, console, rank=parallel.rank, world=parallel.world)
    seconds = sum(parallel.gather(own.seconds))
    if seconds:
        _say(
            console,
            f"{encoder.stage} is frozen: {seconds / 3600:.2f} h of audio go through it once, at most "
            f"{_size(seconds * encoder.bytes_per_second)} in {cache.folder}, which holds {_size(cache.size_bytes)} "
            f"of at most {_size(cache.limit_bytes)}",
        )
    with autocast("fp32" if encoder.codes else recipe.train.precision, parallel.device):
        done = encode(
            own,
            layout,
            encoder,
            cache,
            console,
            tokens_per_batch=recipe.train.tokens_per_batch,
            workers=recipe.data.workers,
        )
    counts = zip(*map(astuple, parallel.gather(done)), strict=True)
    report = EncodingReport(*map(sum, counts))
    if report.skipped_full:
        _say(
            console,
            f"{cache.folder} is full: {report.skipped_full} recordings are not in it and are encoded anew in every "
            "epoch. Raise data.feature_cache_gb, or delete folders of other models from it",
        )
    elif not report.encoded:
        _say(console, f"{encoder.stage} is frozen: all {report.cached_already} outputs are in {cache.folder}")
    return report


def prepare_cache(
    recipe: Recipe,
    family: Family,
    model: Model,
    layout: Layout,
    samples: Sequence[Sample],
    parallel: Parallel,
    console: Console,
) -> FeatureCache | None:
    """The cache of a run's frozen features, filled with those of all samples. The model is on its device, and frozen
    but for what the run trains.

    Codes are always computed ahead; of other features a run that hears its data once takes only what is there
    (`voxtune encode` puts it there). None when no audio
    encoder is frozen, when what it reads is random, or with `data.feature_cache_gb: 0`.
    """
    if recipe.data.feature_cache_gb == 0:
        return None
    encoder = family.frozen_encoder(model, layout, trained_parts(family, model))
    if encoder is None:
        return None
    cache = open_cache(recipe, encoder)
    if encoder.codes or _epochs(recipe, encoder, samples) > 1:
        fill_cache(recipe, layout, encoder, cache, samples, parallel, console)
    return cache if cache.entries.exists() else None


def _epochs(recipe: Recipe, encoder: AudioEncoder, samples: Sequence[Sample]) -> float:
    """How often a run hears its audio, at most."""
    train = recipe.train
    if train.epochs == 1 or train.max_steps is None:
        return train.epochs
    with ThreadPoolExecutor() as pool:
        seconds = sum(pool.map(lambda part: probe(part).seconds, _recordings(samples)))
    return min(train.epochs, train.max_steps * train.tokens_per_step / (seconds * encoder.rows_per_second))


def _recordings(samples: Sequence[Sample]) -> list[AudioPart]:
    """Recordings of samples, each once."""
    return list({part.model_dump_json(): part for sample in samples for part in sample.audio}.values())


def _batches(
    recordings: Sequence[Recording], rows_per_second: float, tokens_per_batch: int
) -> Iterator[tuple[Recording, ...]]:
    """Neighbours of at most `tokens_per_batch` rows together, one at least."""
    batch: list[Recording] = []
    rows = 0.0
    for recording in recordings:
        more = recording.seconds * rows_per_second
        if batch and rows + more > tokens_per_batch:
            yield tuple(batch)
            batch, rows = [], 0.0
        batch.append(recording)
        rows += more
    if batch:
        yield tuple(batch)


class _FrontEnd(Dataset["tuple[Tensor, list[int]] | VoxtuneError"]):
    """Recordings to the rows that the encoder reads, laid end to end, and how many each has. An error is returned,
    not raised, so that its message survives the worker."""

    def __init__(self, layout: Layout, front_end: Callable[[Tensor], Tensor]) -> None:
        self.sample_rate = layout.sample_rate
        self.resampler = layout.resampler
        self.front_end = front_end

    def __getitem__(self, batch: tuple[Recording, ...]) -> tuple[Tensor, list[int]] | VoxtuneError:
        try:
            rows = [
                self.front_end(waveform)
                for _, channels in groupby([recording.part for recording in batch], key=_but_channel)
                for waveform in load_channels(list(channels), self.sample_rate, self.resampler)
            ]
        except VoxtuneError as error:
            return error
        return torch.cat(rows), [len(r) for r in rows]


def _rows(
    batches: Sequence[tuple[Recording, ...]], layout: Layout, front_end: Callable[[Tensor], Tensor], workers: int
) -> Iterator[list[Tensor]]:
    loader: DataLoader[tuple[Tensor, list[int]] | VoxtuneError] = DataLoader(
        _FrontEnd(layout, front_end),
        sampler=cast("Sequence[int]", batches),
        batch_size=None,
        num_workers=workers,
        worker_init_fn=_one_thread if workers else None,
    )
    for made in loader:
        if isinstance(made, VoxtuneError):
            raise made
        rows, lengths = made
        yield list(rows.split(lengths))


def _but_channel(part: AudioPart) -> AudioPart:
    return part.model_copy(update={"channel": None})


def _one_thread(worker: int) -> None:
    torch.set_num_threads(1)


class _Amounts(ProgressColumn):
    """Audio-seconds a second, and what was written."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed or 0:.0f} s audio/s  {_size(task.fields['written'])}")


def _say(console: Console, line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def _size(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
