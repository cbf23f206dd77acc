"""What is wrong with a sample on its own."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

from voxtune.checking.recordings import Recording
from voxtune.checking.report import Severity
from voxtune.data.remote import is_url
from voxtune.data.sample import AudioPart, Sample
from voxtune.data.signal import Signal
from voxtune.errors import DataError
from voxtune.families.family import Layout

Rule = tuple[str, str, Severity]
"""Field, message, severity."""

LOWEST_RATE = 8000
SILENT_PEAK = 2**-14
QUIET_PEAK = 0.01
UNSCALED_PEAK = 8.0
CLIPPED_SHARE = 0.001


def sample_rules(sample: Sample, recordings: Sequence[Recording | DataError], layout: Layout | None) -> Iterator[Rule]:
    """All rules for one sample; `recordings` are its own in order."""
    yield from _text_rules(sample)
    if sample.task == "asr" and not sample.audio:
        yield "audio", "no recording to transcribe; add one", "error"
    for part, recording in zip(sample.audio, recordings, strict=True):
        if isinstance(recording, DataError):
            yield "audio", _unreadable(sample, part, recording), "error"
            continue
        if recording.sample_rate < LOWEST_RATE:
            yield "audio", f"{part.path}: {recording.sample_rate} Hz holds too little of speech", "warning"
        if recording.signal is not None:
            yield from _signal_rules(part, recording.signal)
    seconds = [recording.seconds for recording in recordings if isinstance(recording, Recording)]
    if layout is None:
        if sample.dialogue is None and not any(t.text.strip() for t in sample.turns if t.role == "assistant"):
            yield "text", "no text to learn: the answer is empty; add it or leave the sample out", "error"
    elif len(seconds) == len(recordings):
        for problem in layout.problems(sample, seconds):
            yield "sample", problem, "error"


def _signal_rules(part: AudioPart, signal: Signal) -> Iterator[Rule]:
    decibel = 20 * math.log10(signal.peak) if signal.peak else -math.inf
    if signal.peak < SILENT_PEAK:
        yield "audio", f"{part.path}: silence, the loudest sample is at {decibel:.0f} dB; remove it", "error"
    elif signal.peak < QUIET_PEAK:
        yield "audio", f"{part.path}: very quiet, the loudest sample is at {decibel:.0f} dB", "warning"
    elif signal.peak > UNSCALED_PEAK:
        yield "audio", f"{part.path}: samples up to {signal.peak:.0f}; scale them to -1 ... 1", "error"
    elif signal.clipped > CLIPPED_SHARE:
        yield "audio", f"{part.path}: clipped, {signal.clipped:.1%} of the samples are cut off at full scale", "warning"


def _text_rules(sample: Sample) -> Iterator[Rule]:
    for turn in sample.turns:
        strange = sorted({character for character in set(turn.text) if _is_strange(character)})
        if strange:
            names = ", ".join(f"U+{ord(character):04X}" for character in strange)
            yield "text", f"{names} in {turn.text[:40]!r}: a sign of a wrong encoding; correct it", "warning"


def _is_strange(character: str) -> bool:
    return character == "\ufffd" or (unicodedata.category(character) in ("Cc", "Co", "Cn") and character not in "\n\t")


def _unreadable(sample: Sample, part: AudioPart, error: DataError) -> str:
    """The error; for a file that is missing, also where else its relative path could have meant."""
    path = Path(part.path)
    if is_url(part.path) or sample.place is None or "no such file" not in str(error):
        return str(error)
    folder = sample.place.file.parent.absolute()
    if not path.is_relative_to(folder) or folder == Path.cwd():
        return str(error)
    other = Path.cwd() / path.relative_to(folder)
    if other.exists():
        return f"{part.path}: no such file, but {other} exists; paths of this layout are relative to the data file"
    return f"{part.path}: no such file, and none at {other} either; correct the path"
