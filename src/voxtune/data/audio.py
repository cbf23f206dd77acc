"""Recordings: their headers, and their samples at the rate a model hears."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import soundfile
import soxr
import torch
from numpy.typing import NDArray
from torch import Tensor

from voxtune.data.containers import ogg_missing, wav_header
from voxtune.data.remote import fetched, is_url
from voxtune.data.sample import AudioPart
from voxtune.errors import DataError
from voxtune.parts.resampling import resample_sinc

Resampler = Literal["soxr", "sinc"]

ROUNDING_SECONDS = 0.01
"""How far `start + duration` may pass the end of a file: manifests write times in hundredths of a second."""


@dataclass(frozen=True)
class AudioInfo:
    """What a recording's header says; seconds are those of the part that is asked for."""

    sample_rate: int
    channels: int
    seconds: float


def probe(part: AudioPart) -> AudioInfo:
    """Read a recording's header.

    Raises DataError when the file is missing, empty, no audio or visibly cut off, or when the part's channel or
    times are outside it.
    """
    header = wav_header(_local(part))
    if header is not None and header.frames:
        _refuse_cut_off(part, header.missing)
        _, count = _span(part, header.sample_rate, header.channels, header.frames)
        return AudioInfo(header.sample_rate, header.channels, count / header.sample_rate)
    with _opened(part) as (file, _, count):
        return AudioInfo(file.samplerate, file.channels, count / file.samplerate)


def decode(part: AudioPart) -> tuple[NDArray[np.float32], int]:
    """Samples of a recording as they are stored, float32 [samples, channels], and their rate in Hz.

    With `part.channel` only that channel is given. Raises what `probe` raises, and DataError when fewer samples can
    be decoded than the header promises, or when some are NaN or infinite.
    """
    with _opened(part) as (file, first, count):
        try:
            skipped = first if file.format == "MP3" else 0  # seeking in mp3 is not exact
            file.seek(first - skipped)
            frames = np.asarray(file.read(skipped + count, "float32", always_2d=True)[skipped:], dtype=np.float32)
        except soundfile.LibsndfileError as error:
            raise DataError(
                f"{part.path}: damaged or cut off, the decoder stops ({error}); replace the file"
            ) from error
        rate = int(file.samplerate)
    if len(frames) < count:
        raise DataError(
            f"{part.path}: cut off, the header promises {count / rate:.2f} s and {len(frames) / rate:.2f} s can be "
            "decoded; replace the file"
        )
    if part.channel is not None:
        frames = frames[:, part.channel : part.channel + 1]
    broken = ~np.isfinite(frames).all(1)
    if broken.any():
        raise DataError(
            f"{part.path}: {broken.sum()} samples are NaN or infinite, the first at {broken.argmax() / rate:.2f} s; "
            "make the file again from its source"
        )
    return frames, rate


def load(part: AudioPart, sample_rate: int, resampler: Resampler = "soxr") -> Tensor:
    """Samples of a recording in [-1, 1], one channel (the mean of all, or `part.channel`), at `sample_rate`.

    Returns float32 [samples]. Raises DataError naming the file, see `decode`.
    """
    frames, rate = decode(part)
    return _waveform(part, frames, rate, sample_rate, resampler)


def load_channels(parts: Sequence[AudioPart], sample_rate: int, resampler: Resampler = "soxr") -> list[Tensor]:
    """As `load`, of parts that differ in nothing but their channel, which `probe` has found: decoded once."""
    if len(parts) == 1:
        return [load(parts[0], sample_rate, resampler)]
    frames, rate = decode(parts[0].model_copy(update={"channel": None}))
    own = [frames if part.channel is None else frames[:, part.channel : part.channel + 1] for part in parts]
    return [_waveform(part, each, rate, sample_rate, resampler) for part, each in zip(parts, own, strict=True)]


def mono(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean of the channels: [samples, channels] to [samples]."""
    return frames[:, 0] if frames.shape[1] == 1 else frames.mean(1, dtype=np.float32)


def resample(waveform: NDArray[np.float32], rate: int, sample_rate: int, resampler: Resampler = "soxr") -> Tensor:
    """Bring [samples] from one rate to another, by soxr's HQ filter or by torchaudio's windowed sinc."""
    if rate == sample_rate:
        return torch.from_numpy(np.ascontiguousarray(waveform))
    if resampler == "sinc":
        return resample_sinc(torch.from_numpy(np.ascontiguousarray(waveform)), rate, sample_rate)
    return torch.from_numpy(soxr.resample(waveform, rate, sample_rate, quality="HQ"))


def _waveform(
    part: AudioPart, frames: NDArray[np.float32], rate: int, sample_rate: int, resampler: Resampler
) -> Tensor:
    waveform = resample(mono(frames), rate, sample_rate, resampler)
    if not len(waveform):
        raise DataError(f"{part.path}: {len(frames)} samples at {rate} Hz are not one at {sample_rate} Hz; remove it")
    return waveform


def _local(part: AudioPart) -> str:
    return str(fetched(part.path)) if is_url(part.path) else part.path


@contextmanager
def _opened(part: AudioPart) -> Iterator[tuple[soundfile.SoundFile, int, int]]:
    """The open file, the part's first sample and its number of samples."""
    path = _local(part)
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116 (opening a pipe would wait for ever)
            raise OSError("no regular file")
        file = soundfile.SoundFile(path)
    except (soundfile.LibsndfileError, OSError) as error:
        raise DataError(f"{part.path}: {_unreadable(Path(path))}") from error
    with file:
        if file.format == "OGG":
            _refuse_cut_off(part, ogg_missing(path))
        elif (header := wav_header(path)) is not None:
            _refuse_cut_off(part, header.missing)
        yield file, *_span(part, file.samplerate, file.channels, file.frames)


def _refuse_cut_off(part: AudioPart, missing: str | None) -> None:
    if missing:
        raise DataError(f"{part.path}: cut off, {missing}; replace the file")


def _span(part: AudioPart, rate: int, channels: int, total: int) -> tuple[int, int]:
    if total <= 0:
        raise DataError(f"{part.path}: has no samples (0 s); remove it or replace the file")
    if part.channel is not None and part.channel >= channels:
        raise DataError(f"{part.path}: channel {part.channel} of a file with {channels}; channels count from 0")
    first = round(part.start * rate)
    count = total - first if part.duration is None else round(part.duration * rate)
    if first >= total:
        raise DataError(f"{part.path}: start {part.start:g} s, but the file ends at {total / rate:.2f} s; correct it")
    if first + count > total + ROUNDING_SECONDS * rate:
        raise DataError(
            f"{part.path}: start {part.start:g} s and duration {count / rate:g} s reach past the end of the file "
            f"at {total / rate:.2f} s; correct them"
        )
    if count == 0:
        raise DataError(f"{part.path}: duration {part.duration:g} s is shorter than one sample; lengthen it")
    return first, min(count, total - first)


def _unreadable(path: Path) -> str:
    if not os.path.exists(path):  # noqa: PTH110 (Path raises on long names)
        return "no such file; correct the path"
    if not path.is_file():
        return "a folder, a pipe or a device, not a file; give the path of a recording"
    if not os.access(path, os.R_OK):
        return "no permission to read it; change its permissions"
    if path.stat().st_size == 0:
        return "an empty file (0 bytes); remove it or replace the file"
    return "no audio that can be read (wav, flac, mp3, ogg and opus can); convert it, for example with ffmpeg"
