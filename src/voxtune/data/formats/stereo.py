"""Two-speaker dialogues as stereo files, left A and right B, for the layouts that hold them so."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import soundfile
from numpy.typing import NDArray

from voxtune.data.audio import decode, probe
from voxtune.data.formats.lines import raise_all
from voxtune.data.remote import fetched, is_url
from voxtune.data.sample import AudioPart, Dialogue, Sample
from voxtune.errors import DataError

LONGEST_FILL = 0.08
"""Seconds of silence that may be added to one of two recordings: a frame of the codec."""
INT16 = 2**15


def file_names(samples: Sequence[Sample]) -> list[str]:
    """What to call the files of samples: the last part of their keys. Raises DataError where that is no own name."""
    first: dict[str, Sample] = {}
    failed = []
    for sample in samples:
        name = PurePosixPath(sample.key).name
        if name in ("", "..") or name.startswith(".") or "\0" in name:
            failed.append(f"{sample.origin}: the key {sample.key!r} cannot be the name of a file; rename it")
        elif (other := first.setdefault(name, sample)) is not sample:
            failed.append(f"{sample.origin}: its file would be called {name}, as that of {other.origin}; rename one")
    if failed:
        raise_all(failed)
    return list(first)


def dialogue_of(sample: Sample) -> Dialogue:
    """The dialogue of a sample that layouts of dialogues can hold. Raises DataError saying what they cannot."""
    dialogue = sample.dialogue
    if dialogue is None:
        raise DataError("turns cannot be written in this layout, only two-speaker dialogues; write voxtune_jsonl")
    if dialogue.main != "A":
        raise DataError("main B cannot be written in this layout; write voxtune_jsonl")
    if dialogue.piece != (0, 1):
        raise DataError("a piece of a dialogue cannot be written in this layout; write voxtune_jsonl")
    if sample.task is not None or sample.language is not None:
        raise DataError("task and language cannot be written in this layout; write voxtune_jsonl")
    return dialogue


def recorded_dialogue_of(sample: Sample) -> Dialogue:
    """As `dialogue_of`, for layouts of recordings."""
    dialogue = dialogue_of(sample)
    if dialogue.encoded is not None:
        raise DataError("tokens cannot be written in this layout, only recordings; write moshi_npz or moshi_parquet")
    return dialogue


def write_stereo(sample: Sample, path: Path) -> float:
    """Write a dialogue's recordings as one wav file, their samples unchanged; returns its length in seconds.

    A stereo wav file is copied. Of two recordings the shorter one is filled with silence, by a frame at most. Raises
    DataError when they differ more in length, or in their sample rate, and when they cannot be read.
    """
    dialogue = recorded_dialogue_of(sample)
    if (source := _whole_file(dialogue)) is not None:
        shutil.copyfile(source, path)
        return probe(dialogue.audio[0]).seconds
    (left, rate), (right, right_rate) = (decode(part) for part in dialogue.speakers)
    if rate != right_rate:
        raise DataError(f"{sample.origin}: A has {rate} Hz and B {right_rate} Hz; resample one")
    if abs(len(left) - len(right)) > LONGEST_FILL * rate:
        lengths = f"A lasts {len(left) / rate:.2f} s and B {len(right) / rate:.2f} s"
        raise DataError(f"{sample.origin}: {lengths}; make them equally long")
    frames = np.zeros((max(len(left), len(right)), 2), dtype=np.float32)
    frames[: len(left), 0], frames[: len(right), 1] = left.mean(1), right.mean(1)
    soundfile.write(path, frames, rate, subtype=_subtype(frames))
    return len(frames) / rate


def _whole_file(dialogue: Dialogue) -> Path | None:
    """The file of a dialogue that is a stereo wav file from beginning to end."""
    if len(dialogue.audio) != 1:
        return None
    part: AudioPart = dialogue.audio[0]
    if not part.path.lower().endswith(".wav") or part.start or part.duration or probe(part).channels != 2:
        return None
    return fetched(part.path) if is_url(part.path) else Path(part.path)


def _subtype(frames: NDArray[np.float32]) -> str:
    """16 bits where they hold every sample, else float."""
    scaled = frames * INT16
    exact = np.array_equal(scaled, np.round(scaled)) and scaled.min() >= -INT16 and scaled.max() < INT16
    return "PCM_16" if exact else "FLOAT"
