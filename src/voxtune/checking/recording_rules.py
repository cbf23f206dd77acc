"""What is wrong with a recording on its own."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from voxtune.checking.recordings import Recording
from voxtune.checking.report import Rule, Severity
from voxtune.data.remote import is_url
from voxtune.data.sample import AudioPart, Sample
from voxtune.data.signal import Signal
from voxtune.errors import DataError

LOWEST_RATE = 8000
SILENT_PEAK = 2**-14
QUIET_PEAK = 0.01
UNSCALED_PEAK = 8.0
CLIPPED_SHARE = 0.001


def recording_rules(name: str, recording: Recording, silence: Severity = "error") -> Iterator[Rule]:
    """All rules for a readable recording, which messages call `name`. silence: how bad that is."""
    if recording.sample_rate < LOWEST_RATE:
        yield "audio", f"{name}: {recording.sample_rate} Hz holds too little of speech", "warning"
    if (signal := recording.signal) is None:
        return
    decibel = 20 * math.log10(signal.peak) if signal.peak else -math.inf
    if is_silent(signal):
        yield "audio", f"{name}: silence, the loudest sample is at {decibel:.0f} dB; remove it", silence
    elif signal.peak < QUIET_PEAK:
        yield "audio", f"{name}: very quiet, the loudest sample is at {decibel:.0f} dB", "warning"
    elif signal.peak > UNSCALED_PEAK:
        yield "audio", f"{name}: samples up to {signal.peak:.0f}; scale them to -1 ... 1", "error"
    elif signal.clipped > CLIPPED_SHARE:
        yield "audio", f"{name}: clipped, {signal.clipped:.1%} of the samples are cut off at full scale", "warning"


def is_silent(signal: Signal) -> bool:
    """Whether nothing can be heard."""
    return signal.peak < SILENT_PEAK


def unreadable(sample: Sample, part: AudioPart, error: DataError) -> str:
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
