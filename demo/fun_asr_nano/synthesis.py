"""From a sentence to a waveform: espeak-ng, trimming, background noise, level, and the shipping codec."""

from __future__ import annotations

import io
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from domains import Domain
from numpy.typing import NDArray

SAMPLE_RATE = 16000
OPUS_LEVEL = 0.95  # about 21 kbit/s

Waveform = NDArray[np.float32]


@dataclass(frozen=True)
class Utterance:
    """One utterance to synthesise. All its random choices follow from `seed`."""

    key: str
    text: str
    voice: str
    seed: tuple[int, ...]


def synthesise(utterance: Utterance, domain: Domain) -> Waveform:
    """Speak one utterance under the conditions of its domain, before any codec: float32 in [-1, 1] at 16 kHz."""
    rng = np.random.default_rng(utterance.seed)
    rate = int(rng.integers(domain.rates[0], domain.rates[1] + 1))
    pitch = int(rng.integers(35, 66))
    waveform = trim(
        speak(utterance.text, utterance.voice, rate, pitch), rng.uniform(0.03, 0.12), rng.uniform(0.05, 0.15)
    )
    waveform *= 0.9 / np.abs(waveform).max()
    if rng.random() < domain.noisy_share:
        noise = background(str(rng.choice(domain.noises)), len(waveform), rng)
        power = float(np.mean(np.square(waveform)))
        waveform += noise * np.sqrt(power * 10 ** (-rng.uniform(*domain.snr_db) / 10))
    waveform *= 10 ** (rng.uniform(-12, 0) / 20)
    return np.clip(waveform, -1, 1).astype(np.float32)


def speak(text: str, voice: str, rate: int, pitch: int) -> Waveform:
    """Synthesise speech with espeak-ng (rate in words per minute, pitch 0 to 99) and resample it to 16 kHz."""
    command = ["espeak-ng", "-v", voice, "-s", str(rate), "-p", str(pitch), "--stdout", text]
    wav = subprocess.run(command, capture_output=True, check=True).stdout
    waveform, sample_rate = soundfile.read(io.BytesIO(wav), dtype="float32")
    return np.asarray(soxr.resample(waveform, sample_rate, SAMPLE_RATE), dtype=np.float32)


def trim(waveform: Waveform, before: float, after: float) -> Waveform:
    """Cut the silence at both ends, 45 dB under the peak, but leave (or add) `before` and `after` seconds of it."""
    loud = np.flatnonzero(np.abs(waveform) > np.abs(waveform).max() * 10 ** (-45 / 20))
    speech = waveform[loud[0] : loud[-1] + 1]
    return np.pad(speech, (int(before * SAMPLE_RATE), int(after * SAMPLE_RATE)))


def background(kind: str, samples: int, rng: np.random.Generator) -> Waveform:
    """Noise of unit power: `white`, `pink` (power falls with 1/f), or `engine` (pink and a low hum with overtones)."""
    noise = rng.standard_normal(samples)
    if kind != "white":
        spectrum = np.fft.rfft(noise)
        spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
        spectrum[0] = 0
        noise = np.fft.irfft(spectrum, samples)
    if kind == "engine":
        noise /= np.std(noise)
        seconds = np.arange(samples) / SAMPLE_RATE
        for overtone in range(1, 9):
            frequency = overtone * rng.uniform(28, 32)
            noise += np.sin(2 * np.pi * (frequency * seconds + rng.random())) / np.sqrt(overtone)
    return np.asarray(noise / np.std(noise), dtype=np.float32)


def write_opus(file: Path | io.BytesIO, waveform: Waveform) -> None:
    """Write Ogg Opus, 16 kHz mono.

    The stream's serial number is random: the decoded samples are reproducible, the bytes of the file are not.
    """
    soundfile.write(file, waveform, SAMPLE_RATE, format="OGG", subtype="OPUS", compression_level=OPUS_LEVEL)


def through_opus(waveform: Waveform) -> Waveform:
    """What is left of a waveform after the shipping codec. The number of samples does not change."""
    file = io.BytesIO()
    write_opus(file, waveform)
    file.seek(0)
    return np.asarray(soundfile.read(file, dtype="float32")[0], dtype=np.float32)
