"""Recordings: any common format, rate and number of channels, parts of files, and what cannot be read."""

from __future__ import annotations

import struct
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from tests.helpers.recordings import record, tone
from voxtune.data.audio import AudioInfo, Resampler, decode, load, load_channels, probe
from voxtune.data.sample import AudioPart
from voxtune.data.signal import measure_signal
from voxtune.errors import DataError

FORMATS = ("wav", "flac", "mp3", "ogg", "opus")
LOSSLESS = ("wav", "flac")


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_reads_every_format_as_the_mean_of_its_channels(tmp_path: Path, suffix: str, channels: int) -> None:
    if suffix == "mp3" and channels == 3:
        pytest.skip("mp3 has at most two channels")
    signal = tone(1.0, 48000)
    path = record(tmp_path / f"a.{suffix}", np.stack([signal / (c + 1) for c in range(channels)], 1), 48000)
    part = AudioPart(path=str(path))
    assert probe(part) == AudioInfo(48000, channels, 1.0)
    waveform = load(part, 48000)
    assert waveform.dtype == torch.float32
    assert waveform.shape == (48000,)
    expected = torch.from_numpy(signal) * sum(1 / (c + 1) for c in range(channels)) / channels
    if suffix in LOSSLESS:
        torch.testing.assert_close(waveform, expected, atol=4e-5, rtol=0)
    else:
        middle = slice(4800, -4800)
        assert (waveform - expected)[middle].norm() < 0.2 * expected[middle].norm()


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000])
@pytest.mark.parametrize("resampler", ["soxr", "sinc"])
def test_resamples_a_tone_to_the_same_tone(tmp_path: Path, rate: int, resampler: Resampler) -> None:
    path = record(tmp_path / "a.wav", tone(1.0, rate, noise=0), rate, subtype="FLOAT")
    waveform = load(AudioPart(path=str(path)), 16000, resampler)
    assert waveform.shape == (16000,)
    expected = torch.from_numpy(tone(1.0, 16000, noise=0))
    middle = slice(800, -800)
    assert (waveform - expected)[middle].abs().max() < 2e-3


def test_channel_is_chosen(tmp_path: Path) -> None:
    left, right = tone(hertz=300), tone(hertz=500)
    path = record(tmp_path / "a.wav", np.stack([left, right], 1), subtype="FLOAT")
    torch.testing.assert_close(load(AudioPart(path=str(path), channel=1), 16000), torch.from_numpy(right))


def test_channels_loaded_together_are_those_loaded_alone(tmp_path: Path) -> None:
    signal = np.stack([tone(1.0, 8000, 200), tone(1.0, 8000, 500)], 1)
    path = record(tmp_path / "a.wav", signal, 8000)
    parts = [AudioPart(path=str(path), start=0.25, channel=channel) for channel in (1, None, 0)]
    for part, waveform in zip(parts, load_channels(parts, 24000, "sinc"), strict=True):
        assert torch.equal(waveform, load(part, 24000, "sinc"))


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_part_is_a_slice_of_the_whole(tmp_path: Path, suffix: str) -> None:
    path = str(record(tmp_path / f"a.{suffix}", tone(2.0, 48000), 48000))
    whole = load(AudioPart(path=path), 48000)
    part = AudioPart(path=path, start=0.75, duration=0.5)
    assert probe(part).seconds == 0.5
    torch.testing.assert_close(load(part, 48000), whole[36000:60000], atol=1e-6, rtol=0)
    to_the_end = AudioPart(path=path, start=1.5)
    assert probe(to_the_end).seconds == 0.5
    assert len(load(to_the_end, 48000)) == 24000


def test_a_duration_rounded_to_hundredths_reaches_to_the_end(tmp_path: Path) -> None:
    path = record(tmp_path / "a.wav", tone(1.0)[:15960])
    assert probe(AudioPart(path=str(path), duration=1.0)).seconds == pytest.approx(0.9975)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"])
@pytest.mark.parametrize("container", ["WAV", "WAVEX"])
def test_wav_headers_agree_with_the_decoder(tmp_path: Path, subtype: str, container: str) -> None:
    path = record(tmp_path / "a.wav", np.stack([tone(), tone()], 1), 22050, subtype=subtype, format=container)
    frames, rate = decode(AudioPart(path=str(path)))
    assert probe(AudioPart(path=str(path))) == AudioInfo(rate, 2, len(frames) / rate)


def test_a_wav_of_unknown_length_and_with_extra_chunks_is_whole(tmp_path: Path) -> None:
    samples = (tone() * 32767).astype("<i2").tobytes()
    form = struct.pack("<HHIIHH", 1, 1, 16000, 32000, 2, 16)
    chunks = b"LIST" + struct.pack("<I", 5001) + bytes(5002) + b"fmt " + struct.pack("<I", 16) + form
    header = b"RIFF" + struct.pack("<I", 0xFFFFFFFF) + b"WAVE" + chunks
    path = tmp_path / "streamed.wav"
    path.write_bytes(header + b"data" + struct.pack("<I", 0xFFFFFFFF) + samples)
    assert probe(AudioPart(path=str(path))).seconds == 0.5
    path.write_bytes(header + b"data" + struct.pack("<I", len(samples)) + samples)
    assert probe(AudioPart(path=str(path))).seconds == 0.5
    assert len(load(AudioPart(path=str(path)), 16000)) == 8000
    path.write_bytes(header + b"data" + struct.pack("<I", len(samples)) + samples[:-2])
    with pytest.raises(DataError, match="header promises 16000 bytes of samples and 15998 are there"):
        probe(AudioPart(path=str(path)))


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("kept", [0.0, 0.3, 0.9])
def test_a_cut_off_file_is_refused(tmp_path: Path, suffix: str, kept: float) -> None:
    path = record(tmp_path / f"a.{suffix}", tone(3.0, noise=0.5))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(DataError, match=rf"a\.{suffix}: (an empty file|cut off|damaged or cut off|no audio)"):
        load(AudioPart(path=str(path)), 16000)


def test_an_ogg_file_cut_between_pages_is_refused(tmp_path: Path) -> None:
    path = record(tmp_path / "a.ogg", tone(10.0, noise=0.5))
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.rfind(b"OggS")])
    with pytest.raises(DataError, match="not marked as the end"):
        probe(AudioPart(path=str(path)))


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"start": 0.5}, "start 0.5 s, but the file ends at 0.50 s"),
        ({"start": 0.25, "duration": 0.3}, "start 0.25 s and duration 0.3 s reach past the end of the file at 0.50 s"),
        ({"duration": 1e-6}, "duration 1e-06 s is shorter than one sample"),
        ({"channel": 1}, "channel 1 of a file with 1; channels count from 0"),
    ],
)
def test_a_part_outside_the_file_is_refused(tmp_path: Path, part: dict[str, float], message: str) -> None:
    path = record(tmp_path / "a.wav")
    for read in (probe, decode):
        with pytest.raises(DataError) as error:
            read(AudioPart.model_validate({"path": str(path), **part}))
        assert str(error.value).startswith(f"{path}: {message}")


def test_unreadable_files_say_why(tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("hello")
    (tmp_path / "folder.wav").mkdir()
    with wave.open(str(tmp_path / "zero.wav"), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
    reasons = {
        "none.wav": "no such file", "text.wav": "no audio that can be read", "folder.wav": "a folder, a pipe or",
        "zero.wav": "has no samples", "x" * 300: "no such file",
    }  # fmt: skip
    for name, reason in reasons.items():
        for read in (probe, decode):
            with pytest.raises(DataError, match=f"{name}: {reason}"):
                read(AudioPart(path=str(tmp_path / name)))


def test_samples_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    signal = tone()
    signal[4000] = np.nan
    signal[6000] = np.inf
    path = record(tmp_path / "a.wav", signal, subtype="FLOAT")
    with pytest.raises(DataError, match=r"2 samples are NaN or infinite, the first at 0\.25 s"):
        load(AudioPart(path=str(path)), 16000)


def test_a_recording_of_one_sample_is_refused(tmp_path: Path) -> None:
    path = record(tmp_path / "a.wav", tone()[:1], 44100)
    with pytest.raises(DataError, match="1 samples at 44100 Hz are not one at 16000 Hz"):
        load(AudioPart(path=str(path)), 16000)


def test_signals_are_measured(tmp_path: Path) -> None:
    path = record(tmp_path / "a.wav", np.clip(tone(level=2.0), -1, 1))
    clipped = measure_signal(AudioPart(path=str(path)))
    assert clipped.seconds == 0.5
    assert clipped.peak == pytest.approx(1, abs=1e-4)
    assert 0.4 < clipped.clipped < 0.7
    clean = measure_signal(AudioPart(path=str(record(tmp_path / "b.wav", tone(level=0.5)))))
    assert clean.clipped == 0
    assert clean.peak == pytest.approx(0.5, rel=0.05)
    same = record(tmp_path / "c.flac", soundfile.read(tmp_path / "b.wav", dtype="float32")[0])
    assert measure_signal(AudioPart(path=str(same))).digest == clean.digest
    assert clipped.digest != clean.digest
