"""SHA-256 of files, remembered so that unchanged files are not read again."""

from __future__ import annotations

import json
import os
from pathlib import Path

from voxtune.files import sha256


class FileHashes:
    """Hashes by path, size and time of change, in a JSONL file that is only appended to.

    Processes may share the file. A line that is torn, because a process was killed while writing it, is passed over:
    its file is hashed again.
    """

    def __init__(self, memory: Path) -> None:
        self.memory = memory
        self._known: dict[str, tuple[int, int, str]] = {}
        self._read = 0

    def of(self, path: Path) -> str:
        """Hexadecimal SHA-256 of a file as it is now. Raises OSError when it cannot be read."""
        name = str(path.absolute())
        status = path.stat()
        size, changed = status.st_size, status.st_mtime_ns
        known = self._known.get(name)
        if known is None or known[:2] != (size, changed):
            self._catch_up()
            known = self._known.get(name)
        if known is None or known[:2] != (size, changed):
            known = self._known[name] = (size, changed, sha256(path))
            self._append(name, *known)
        return known[2]

    def _catch_up(self) -> None:
        """Read the lines that came since the last time."""
        if not self.memory.exists():
            return
        start = self._read
        with self.memory.open("rb") as file:
            file.seek(start)
            new = file.read()
        whole = new[: new.rfind(b"\n") + 1]
        self._read = start + len(whole)
        for line in whole.splitlines():
            try:
                name, size, changed, digest = json.loads(line)
            except (ValueError, TypeError):
                continue
            self._known[name] = (size, changed, digest)

    def _append(self, name: str, size: int, changed: int, digest: str) -> None:
        self.memory.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps([name, size, changed, digest]) + "\n"
        # One write to a file opened for appending: lines of several processes do not mix.
        descriptor = os.open(self.memory, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)
