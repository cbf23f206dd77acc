"""The feature cache: found again by content, never above its limit, safe to share and to kill."""

from __future__ import annotations

import logging
import os
import pickle
import signal
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from voxtune.data.example import AudioInput
from voxtune.data.feature_cache import FeatureCache
from voxtune.data.file_hashes import FileHashes
from voxtune.data.sample import AudioPart
from voxtune.errors import DataError
from voxtune.files import sha256

FORK = get_context("fork")
MANY = 10**9


def recording(path: Path, seed: int = 0) -> AudioPart:
    noise = np.random.default_rng(seed).uniform(-0.5, 0.5, 1600).astype(np.float32)
    soundfile.write(path, noise, 16000)
    return AudioPart(path=str(path))


def cache(folder: Path, *, stage: str = "encoder", fingerprint: str = "f" * 64, limit: int = MANY) -> FeatureCache:
    return FeatureCache(folder / "cache", stage, fingerprint, limit)


def output(rows: int = 5, *, stage: str = "encoder", dtype: torch.dtype = torch.float32) -> AudioInput:
    return AudioInput(torch.randn(rows, 8).to(dtype), 0, 3, stage)


def entries(folder: Path) -> list[Path]:
    return sorted((folder / "cache").glob("*/*/*.safetensors"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_put_is_got(tmp_path: Path, dtype: torch.dtype) -> None:
    part, stored = recording(tmp_path / "a.wav"), output(dtype=dtype)
    filled = cache(tmp_path)
    assert filled.get(part) is None
    size = filled.put(filled.key(part), stored)
    assert size == filled.size_bytes == entries(tmp_path)[0].stat().st_size
    for again in (filled, cache(tmp_path), pickle.loads(pickle.dumps(filled))):
        found = again.get(part)
        assert found is not None
        assert torch.equal(found.features, stored.features) and found.features.dtype == dtype
        assert (found.start, found.frames, found.encoded) == (0, 3, "encoder")


def test_part_of_a_larger_tensor_is_stored_alone(tmp_path: Path) -> None:
    part, filled = recording(tmp_path / "a.wav"), cache(tmp_path)
    large = torch.randn(100, 8)
    assert filled.put(filled.key(part), AudioInput(large[3:5], 0, 1, "encoder")) < 500
    found = filled.get(part)
    assert found is not None and torch.equal(found.features, large[3:5])


def test_stretches_and_channels_of_a_file_are_entries_of_their_own(tmp_path: Path) -> None:
    part, filled = recording(tmp_path / "a.wav"), cache(tmp_path)
    changes = [{}, {"start": 0.5}, {"duration": 0.5}, {"channel": 0}, {"channel": 1}]
    assert len({filled.key(part.model_copy(update=change)) for change in changes}) == len(changes)


def test_the_same_content_under_another_name_is_the_same_entry(tmp_path: Path) -> None:
    filled = cache(tmp_path)
    assert filled.key(recording(tmp_path / "a.wav")) == filled.key(recording(tmp_path / "b.wav"))


def test_changed_audio_is_another_entry(tmp_path: Path) -> None:
    filled = cache(tmp_path)
    part = recording(tmp_path / "a.wav")
    before = filled.key(part)
    filled.put(before, output())
    recording(tmp_path / "a.wav", seed=1)
    assert filled.key(part) != before
    assert filled.get(part) is None
    assert cache(tmp_path).key(part) == filled.key(part)


def test_other_weights_and_other_stages_do_not_meet(tmp_path: Path) -> None:
    part, filled = recording(tmp_path / "a.wav"), cache(tmp_path)
    filled.put(filled.key(part), output())
    assert cache(tmp_path, fingerprint="e" * 64).get(part) is None


def test_the_limit_counts_all_encoders_and_nothing_is_deleted(tmp_path: Path) -> None:
    parts = [recording(tmp_path / f"{number}.wav", number) for number in range(3)]
    first = cache(tmp_path)
    size = first.put(first.key(parts[0]), output())
    second = cache(tmp_path, fingerprint="e" * 64, limit=2 * size)
    assert second.put(second.key(parts[1]), output()) == size
    assert second.put(second.key(parts[2]), output()) == 0
    assert second.get(parts[2]) is None
    assert second.put(second.key(parts[1]), output()) == size, "an entry may be written again"
    assert second.size_bytes == 2 * size
    assert first.get(parts[0]) is not None


def test_what_users_delete_makes_room(tmp_path: Path) -> None:
    parts = [recording(tmp_path / f"{number}.wav", number) for number in range(2)]
    first = cache(tmp_path)
    size = first.put(first.key(parts[0]), output())
    entries(tmp_path)[0].unlink()
    assert (again := cache(tmp_path, limit=size)).put(again.key(parts[1]), output()) == size


@pytest.mark.parametrize("damage", ["cut", "empty", "garbage", "metadata"])
def test_damage_is_reported_and_mended(tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    part, filled, stored = recording(tmp_path / "a.wav"), cache(tmp_path), output()
    key = filled.key(part)
    filled.put(key, stored)
    (path,) = entries(tmp_path)
    content = path.read_bytes()
    broken = {
        "cut": content[:-1],
        "empty": b"",
        "garbage": b"\xff" * len(content),
        "metadata": content.replace(b'"frames"', b'"flames"'),
    }
    path.write_bytes(broken[damage])
    with caplog.at_level(logging.WARNING):
        assert key not in filled
        assert filled.get(part) is None
    assert str(path) in caplog.text and "damaged" in caplog.text
    assert filled.put(key, stored)
    found = filled.get(part)
    assert key in filled and found is not None and torch.equal(found.features, stored.features)


def test_entry_of_another_stage_is_not_taken(tmp_path: Path) -> None:
    part, filled = recording(tmp_path / "a.wav"), cache(tmp_path)
    filled.put(filled.key(part), output())
    assert cache(tmp_path, stage="adaptor").get(part) is None


def test_missing_recording_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.wav: No such file"):
        cache(tmp_path).get(AudioPart(path=str(tmp_path / "gone.wav")))


def test_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    part = recording(tmp_path / "a.wav")
    key = cache(tmp_path).key(part)
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"file/cache.*data\.feature_cache=") as error:
        cache(tmp_path / "file").put(key, output())
    assert "\n" not in str(error.value)


def _put_all(folder: Path, limit: int, seed: int, count: int) -> None:
    own = cache(folder, limit=limit)
    for number in range(count):
        own.put(f"{seed}{number:063d}", output())


def test_two_processes_at_once_stay_within_the_limit(tmp_path: Path) -> None:
    size = cache(tmp_path / "one").put("0" * 64, output())
    limit = 30 * size
    workers = [FORK.Process(target=_put_all, args=(tmp_path, limit, seed, 25)) for seed in (1, 2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert len(entries(tmp_path)) == 30
    assert cache(tmp_path).size_bytes == limit


def _die_while_writing(folder: Path) -> None:
    own = cache(folder)
    own.put("0" * 64, output())
    os.replace = Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[method-assign]
    own.put("1" * 64, output())


def test_killed_while_writing_leaves_whole_entries_and_no_litter(tmp_path: Path) -> None:
    worker = FORK.Process(target=_die_while_writing, args=(tmp_path,))
    worker.start()
    worker.join()
    assert worker.exitcode == -signal.SIGKILL
    again = cache(tmp_path)
    assert "0" * 64 in again and "1" * 64 not in again
    assert list((tmp_path / "cache").glob("*/*/.*.tmp"))
    size = again.put("1" * 64, output())
    assert "1" * 64 in again and again.size_bytes == 2 * size
    assert not list((tmp_path / "cache").glob("*/*/.*.tmp"))


class TestFileHashes:
    """Hashes of files are remembered."""

    def test_unchanged_file_is_not_read_again(self, tmp_path: Path) -> None:
        file = tmp_path / "a"
        file.write_text("one")
        digest = FileHashes(tmp_path / "memory").of(file)
        assert digest == sha256(file)
        status = file.stat()
        file.write_text("two")
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert FileHashes(tmp_path / "memory").of(file) == digest, "same size and time: remembered"
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
        assert FileHashes(tmp_path / "memory").of(file) == sha256(file) != digest

    def test_learns_what_another_process_appended(self, tmp_path: Path) -> None:
        file = tmp_path / "a"
        file.write_text("one")
        early = FileHashes(tmp_path / "memory")
        early.of(file)
        other = tmp_path / "b"
        other.write_text("two")
        FileHashes(tmp_path / "memory").of(other)
        lines = (tmp_path / "memory").read_text()
        early.of(other)
        assert (tmp_path / "memory").read_text() == lines

    @pytest.mark.parametrize("torn", ['["/x/y", 12, 34', "\x00\x00\n", "[]\n", "null\n"])
    def test_torn_lines_are_passed_over(self, tmp_path: Path, torn: str) -> None:
        file = tmp_path / "a"
        file.write_text("one")
        memory = tmp_path / "memory"
        memory.write_text(torn)
        assert FileHashes(memory).of(file) == FileHashes(memory).of(file) == sha256(file)
