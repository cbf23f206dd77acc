"""Outputs of a frozen encoder on disk, found by the content of the recording."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import safetensors.torch
from filelock import FileLock
from safetensors import SafetensorError, safe_open

from voxtune.data.example import AudioInput
from voxtune.data.file_hashes import FileHashes
from voxtune.data.remote import fetched, is_url
from voxtune.data.sample import AudioPart
from voxtune.errors import DataError
from voxtune.files import atomic_write

logger = logging.getLogger(__name__)


class FeatureCache:
    """One encoder's outputs: `<folder>/<fingerprint[:16]>/<key[:2]>/<key>.safetensors`.

    The folder is shared by encoders and by processes; together its files stay within `limit_bytes`. Nothing is ever
    deleted: what does not fit is not stored. Picklable: data workers hold a copy.
    """

    def __init__(self, folder: Path, stage: str, fingerprint: str, limit_bytes: int) -> None:
        self.folder = folder
        self.stage = stage
        self.limit_bytes = limit_bytes
        self.entries = folder / fingerprint[:16]
        self._hashes = FileHashes(folder / "files.jsonl")
        self._total = folder / "size"
        self._measured = False

    def key(self, part: AudioPart) -> str:
        """Name of a recording's entry: its file's bytes, and which stretch and channel of it.

        Raises DataError when the file cannot be read.
        """
        try:
            content = self._hashes.of(fetched(part.path) if is_url(part.path) else Path(part.path))
        except OSError as error:
            raise DataError(f"{error.filename}: {error.strerror}; correct the path or its permissions") from error
        stretch = json.dumps([content, part.start, part.duration, part.channel])
        return hashlib.sha256(stretch.encode()).hexdigest()

    def get(self, part: AudioPart) -> AudioInput | None:
        """What was stored for a recording, `start` 0; None when there is nothing that can be used."""
        path = self._path(self.key(part))
        if path.exists():
            with _damage_reported(path), safe_open(path, framework="pt") as file:
                return AudioInput(file.get_tensor("features"), 0, self._frames(file), self.stage)
        return None

    def __contains__(self, key: str) -> bool:
        path = self._path(key)
        if path.exists():
            with _damage_reported(path), safe_open(path, framework="pt") as file:
                return self._frames(file) >= 0
        return False

    def put(self, key: str, audio: AudioInput) -> int:
        """Store a recording's output. Returns the bytes that it takes; 0 = the folder is full, nothing is stored.

        Raises DataError when the folder cannot be written to.
        """
        metadata = {"stage": self.stage, "frames": str(audio.frames)}
        content = safetensors.torch.save({"features": audio.features.contiguous()}, metadata)
        path = self._path(key)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self.folder / ".lock"):
                if not self._measured:
                    self._measure()
                total = int(self._total.read_text()) - (path.stat().st_size if path.exists() else 0) + len(content)
                if total > self.limit_bytes:
                    return 0
                with atomic_write(path) as temporary:
                    temporary.write_bytes(content)
                self._count(total)
        except OSError as error:
            raise DataError(
                f"{self.folder}: cannot store features ({error.strerror}); make room, name another folder with "
                "data.feature_cache=..., or do without: data.feature_cache_gb=0"
            ) from error
        return len(content)

    @property
    def size_bytes(self) -> int:
        """What the entries of all encoders in the folder take."""
        return sum(path.stat().st_size for path in self.folder.glob("*/*/*.safetensors"))

    def _measure(self) -> None:
        """Count anew: users delete, processes are killed. All writers hold the lock, so that a temporary file that
        is there now was left by one that is dead."""
        for left in self.folder.glob("*/*/.*.tmp"):
            left.unlink(missing_ok=True)
        self._count(self.size_bytes)
        self._measured = True

    def _count(self, total: int) -> None:
        with atomic_write(self._total) as temporary:
            temporary.write_text(str(total))

    def _path(self, key: str) -> Path:
        return self.entries / key[:2] / f"{key}.safetensors"

    def _frames(self, file: safe_open) -> int:
        metadata: dict[str, str] = file.metadata()  # type: ignore[no-untyped-call]
        if metadata["stage"] != self.stage:
            raise ValueError(f"not an output of {self.stage}")
        return int(metadata["frames"])


@contextmanager
def _damage_reported(path: Path) -> Iterator[None]:
    """An entry that cannot be read counts as missing."""
    try:
        yield
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        logger.warning("%s: damaged (%s); its recording is encoded again", path, error)
