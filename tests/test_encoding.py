"""Encoding ahead: only what is missing, resumable, bounded, and the same numbers as without."""

from __future__ import annotations

import io
import os
import signal
import socket
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import soundfile
import torch
from rich.console import Console
from torch import Tensor

from tests.conftest import TinyAsr
from voxtune.data.example import AudioInput
from voxtune.data.feature_cache import FeatureCache
from voxtune.data.sample import AudioPart, Sample, transcription
from voxtune.encoding import EncodingReport, encode, fill_cache, open_cache, prepare_cache, survey
from voxtune.errors import DataError
from voxtune.families.family import Family, Size
from voxtune.families.fun_asr_nano.config import Options
from voxtune.families.fun_asr_nano.frozen import FrozenEncoder, frozen_encoder
from voxtune.recipe import Recipe
from voxtune.training.corpus import Corpus
from voxtune.training.loading import Pack, Packs
from voxtune.training.parallel import Parallel, processes

FORK = get_context("fork")
FAMILY = cast(
    Family,
    SimpleNamespace(
        frozen_encoder=frozen_encoder,
        parts={part: (f"{part}.*",) for part in ("audio_encoder", "audio_adaptor", "llm")},
    ),
)
QUIET = Console(quiet=True)
ROWS = 30


class Watched:
    """An encoder that notes how many rows it was given in each call, and may be struck down in one of them."""

    def __init__(self, encoder: FrozenEncoder, die_in_call: int | None = None) -> None:
        self.encoder = encoder
        self.stage = encoder.stage
        self.fingerprint = encoder.fingerprint
        self.front_end = encoder.front_end
        self.rows_per_second = encoder.rows_per_second
        self.bytes_per_second = encoder.bytes_per_second
        self.codes = encoder.codes
        self.calls: list[list[int]] = []
        self.die_in_call = die_in_call

    def __call__(self, rows: list[Tensor]) -> list[AudioInput]:
        self.calls.append([len(r) for r in rows])
        if len(self.calls) == self.die_in_call:
            os.kill(os.getpid(), signal.SIGKILL)
        return self.encoder(rows)


@pytest.fixture
def encoder(tiny_asr: TinyAsr) -> Watched:
    found = frozen_encoder(tiny_asr.model, tiny_asr.layout, {"llm"})
    assert found is not None
    return Watched(found)


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    made = []
    for number in range(6):
        path = tmp_path / f"{number}.wav"
        noise = np.random.default_rng(number).uniform(-0.5, 0.5, 8000 + 4000 * number)
        soundfile.write(path, noise.astype(np.float32), 16000)
        made.append(transcription(f"s{number}", AudioPart(path=str(path)), f"text {number}"))
    return made


@pytest.fixture
def cache(tmp_path: Path, encoder: Watched) -> FeatureCache:
    return FeatureCache(tmp_path / "cache", encoder.stage, encoder.fingerprint, 10**9)


def run(samples: list[Sample], tiny: TinyAsr, encoder: Watched, cache: FeatureCache, **settings: Any) -> EncodingReport:
    found = survey(samples, cache, QUIET)
    return encode(found, tiny.layout, encoder, cache, QUIET, **{"tokens_per_batch": ROWS, **settings})


def on_one_thread(work: Callable[..., object], *args: object) -> None:
    """In a forked process: the threads that torch had before are gone, and waiting for them would not end."""
    torch.set_num_threads(1)
    work(*args)


def all_cached(samples: list[Sample], cache: FeatureCache) -> Iterator[bool]:
    return (cache.get(part) is not None for sample in samples for part in sample.audio)


@pytest.mark.parametrize("workers", [0, 2])
def test_everything_is_encoded_once(
    workers: int, samples: list[Sample], tiny_asr: TinyAsr, encoder: Watched, cache: FeatureCache
) -> None:
    report = run(samples, tiny_asr, encoder, cache, workers=workers)
    assert report == EncodingReport(6, 0, 0, cache.size_bytes, pytest.approx(6.75))
    assert all(all_cached(samples, cache))
    assert len(encoder.calls) > 1 and all(sum(call) <= ROWS + 1 for call in encoder.calls)
    calls = len(encoder.calls)
    assert run(samples, tiny_asr, encoder, cache) == EncodingReport(0, 6, 0, 0, 0)
    assert len(encoder.calls) == calls


def test_a_recording_used_twice_or_copied_is_encoded_once(
    samples: list[Sample], tmp_path: Path, tiny_asr: TinyAsr, encoder: Watched, cache: FeatureCache
) -> None:
    (tmp_path / "copy.wav").write_bytes((tmp_path / "0.wav").read_bytes())
    copy = transcription("copy", AudioPart(path=str(tmp_path / "copy.wav")), "again")
    report = run([samples[0], samples[0], copy], tiny_asr, encoder, cache)
    assert (report.encoded, sum(map(len, encoder.calls))) == (1, 1)


def test_training_from_the_cache_is_training_from_audio(
    samples: list[Sample], tiny_asr: TinyAsr, encoder: Watched, cache: FeatureCache
) -> None:
    run(samples, tiny_asr, encoder, cache)
    model, layout = tiny_asr
    for part in (model.audio_encoder, model.audio_adaptor):
        part.requires_grad_(False)
    corpus = Corpus(samples, [1.0] * 6, [Size(0, 0, 0, 0.0)] * 6)  # its sizes are not needed here
    results = []
    for source in (cache, None):
        batch = Packs(corpus, layout, source, seed=0)[Pack(tuple(range(6)), epoch=0)]
        assert not isinstance(batch, Exception)
        assert {audio.encoded for audio in batch.audio} == {encoder.stage if source else None}
        model.zero_grad()
        loss = model(batch)["text"]
        loss.backward()
        results.append((loss.detach(), {name: p.grad for name, p in model.named_parameters() if p.grad is not None}))
    torch.testing.assert_close(results[0], results[1])


def test_killed_in_the_middle_and_started_again(
    samples: list[Sample], tiny_asr: TinyAsr, encoder: Watched, cache: FeatureCache
) -> None:
    encoder.die_in_call = 3
    worker = FORK.Process(target=on_one_thread, args=(run, samples, tiny_asr, encoder, cache))
    worker.start()
    worker.join()
    assert worker.exitcode == -signal.SIGKILL
    encoder.die_in_call = None
    report = run(samples, tiny_asr, encoder, cache)
    assert 0 < report.cached_already < 6 and report.cached_already + report.encoded == 6
    assert sum(map(len, encoder.calls)) == report.encoded
    assert all(all_cached(samples, cache))


def test_a_full_cache_stops_the_work_and_says_how_many_are_missing(
    samples: list[Sample], tiny_asr: TinyAsr, encoder: Watched, cache: FeatureCache
) -> None:
    cache.limit_bytes = 1500
    report = run(samples, tiny_asr, encoder, cache)
    assert report.encoded >= 1 and report.skipped_full == 6 - report.encoded > 0
    assert report.bytes == cache.size_bytes <= 1500
    assert sum(all_cached(samples, cache)) == report.encoded
    assert sum(map(len, encoder.calls)) < 6


@pytest.mark.parametrize("workers", [0, 1])
def test_a_recording_that_breaks_is_named(
    workers: int, samples: list[Sample], tmp_path: Path, tiny_asr: TinyAsr, encoder: Watched, cache: FeatureCache
) -> None:
    found = survey(samples, cache, QUIET)
    (tmp_path / "3.wav").write_bytes((tmp_path / "3.wav").read_bytes()[:-2000])
    with pytest.raises(DataError, match=r"3\.wav"):
        encode(found, tiny_asr.layout, encoder, cache, QUIET, tokens_per_batch=ROWS, workers=workers)


def test_a_recording_that_is_not_there_is_named(samples: list[Sample], tmp_path: Path, cache: FeatureCache) -> None:
    (tmp_path / "3.wav").unlink()
    with pytest.raises(DataError, match=r"3\.wav"):
        survey(samples, cache, QUIET)


def test_processes_share_the_work(samples: list[Sample], cache: FeatureCache) -> None:
    shares = [{r.key for r in survey(samples, cache, QUIET, rank=rank, world=4).missing} for rank in range(4)]
    assert sum(map(len, shares)) == len(set.union(*shares)) == 6


def test_two_runs_at_once_do_not_disturb_each_other(
    samples: list[Sample], tiny_asr: TinyAsr, encoder: Watched, cache: FeatureCache
) -> None:
    workers = [FORK.Process(target=on_one_thread, args=(run, samples, tiny_asr, encoder, cache)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert run(samples, tiny_asr, encoder, cache) == EncodingReport(0, 6, 0, 0, 0)
    assert all(all_cached(samples, cache))


class TestPrepareCache:
    """What training does at its start."""

    @pytest.fixture(autouse=True)
    def _setup(self, tmp_path: Path, samples: list[Sample], tiny_asr: TinyAsr) -> None:
        self.folder, self.samples, self.tiny = tmp_path / "features", samples, tiny_asr

    def recipe(self, *, limit_gb: float = 1, **train: Any) -> Recipe:
        return Recipe.model_validate(
            {
                "model": {"family": "fun_asr_nano", "source": "tiny", "options": Options()},
                "data": {"train": "x", "workers": 0, "feature_cache": self.folder, "feature_cache_gb": limit_gb},
                "train": {"output": "x", "precision": "fp32", "epochs": 2, **train},
            }
        )

    def prepare(self, recipe: Recipe, trained: tuple[str, ...] = ("llm",)) -> tuple[FeatureCache | None, str]:
        for name, parameter in self.tiny.model.named_parameters():
            parameter.requires_grad = name.startswith(trained)
        console = Console(file=io.StringIO(), width=1000)
        cache = prepare_cache(recipe, FAMILY, self.tiny.model, self.tiny.layout, self.samples, Parallel(), console)
        assert isinstance(console.file, io.StringIO)
        return cache, console.file.getvalue()

    def test_fills_and_says_so(self) -> None:
        cache, said = self.prepare(self.recipe())
        assert cache is not None and all(all_cached(self.samples, cache))
        assert "audio_adaptor is frozen" in said and str(self.folder) in said and "1.0 GB" in said
        again, said = self.prepare(self.recipe())
        assert again is not None and all(all_cached(self.samples, again))
        assert f"all 6 outputs are in {self.folder}" in said

    def test_a_full_cache_is_used_and_the_rest_is_named(self) -> None:
        cache, said = self.prepare(self.recipe(limit_gb=1500e-9))
        assert cache is not None and 0 < sum(all_cached(self.samples, cache)) < 6
        assert "is full" in said and "data.feature_cache_gb" in said

    def test_none_when_nothing_is_frozen_or_no_cache_is_wanted(self) -> None:
        assert self.prepare(self.recipe(), ("audio_encoder", "llm")) == (None, "")
        assert self.prepare(self.recipe(), ("audio_encoder.encoders.0.norm2.bias",)) == (None, "")
        assert self.prepare(self.recipe(limit_gb=0)) == (None, "")
        assert not self.folder.exists()

    @pytest.mark.parametrize("short", [{"epochs": 1}, {"max_steps": 1, "tokens_per_step": 50}])
    def test_a_run_that_hears_its_data_once_only_takes_what_is_there(self, short: dict[str, Any]) -> None:
        assert self.prepare(self.recipe(**short)) == (None, "")
        self.prepare(self.recipe())
        cache, _ = self.prepare(self.recipe(**short))
        assert cache is not None and all(all_cached(self.samples, cache))

    def test_precision_makes_its_own_entries(self) -> None:
        self.prepare(self.recipe())
        cache, _ = self.prepare(self.recipe(precision="bf16"))
        assert cache is not None and len(list(self.folder.glob("*/*/*.safetensors"))) == 12
        found = cache.get(self.samples[0].audio[0])
        assert found is not None and found.features.dtype == torch.bfloat16

    def test_stage_ends_before_the_first_trained_parameter(self) -> None:
        for trained, stage in (("llm", "audio_adaptor"), ("audio_adaptor.blocks.0.norm1", "audio_encoder")):
            cache, said = self.prepare(self.recipe(), (trained,))
            assert cache is not None and cache.stage == stage and f"{stage} is frozen" in said

    def test_two_processes_of_a_run_share_the_work(self) -> None:
        with socket.socket() as free:
            free.bind(("localhost", 0))
            port = free.getsockname()[1]
        reports = FORK.Queue()
        workers = [FORK.Process(target=on_one_thread, args=(self._fill_as, rank, port, reports)) for rank in range(2)]
        for worker in workers:
            worker.start()
        found = [reports.get(timeout=60) for _ in workers]
        for worker in workers:
            worker.join()
        files = list(self.folder.glob("*/*/*.safetensors"))
        assert found == [(3, EncodingReport(6, 0, 0, sum(f.stat().st_size for f in files), pytest.approx(6.75)))] * 2
        assert len(files) == 6

    def _fill_as(self, rank: int, port: int, reports: Any) -> None:
        os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
        found = frozen_encoder(self.tiny.model, self.tiny.layout, {"llm"})
        assert found is not None
        encoder, recipe = Watched(found), self.recipe()
        with processes() as parallel:
            cache = open_cache(recipe, encoder)
            report = fill_cache(recipe, self.tiny.layout, encoder, cache, self.samples, parallel, QUIET)
            reports.put((sum(map(len, encoder.calls)), report))
