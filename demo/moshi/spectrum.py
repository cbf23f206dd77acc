"""How far two waveforms are apart: spectra at four resolutions for training, and what tells whether speech survived."""

from __future__ import annotations

import math

import torch
from torch import Tensor

SAMPLE_RATE = 24000
RESOLUTIONS = {2048: 96, 1024: 80, 512: 48, 256: 24}
"""Samples of a window -> mel bands."""
REPORTED = 1024
FLOOR = 1e-4
"""Smallest mel amplitude that is told from silence; a full-scale sine has 1."""
ENVELOPE = 480
SILENT = 1e-4


def mel_filters(window: int, bands: int) -> Tensor:
    """Triangles, equally wide on the mel scale from 0 to 12 kHz, each of sum 1: [bands, window / 2 + 1]."""
    frequency = torch.linspace(0, SAMPLE_RATE / 2, window // 2 + 1)
    top = 2595 * math.log10(1 + SAMPLE_RATE / 2 / 700)
    corner = 700 * (10 ** (torch.linspace(0, top, bands + 2) / 2595) - 1)
    low, centre, high = corner[:-2, None], corner[1:-1, None], corner[2:, None]
    filters = torch.minimum((frequency - low) / (centre - low), (high - frequency) / (high - centre)).clamp(min=0)
    return filters / filters.sum(1, keepdim=True).clamp(min=1e-6)


WINDOWS = {window: torch.hann_window(window) for window in RESOLUTIONS}
FILTERS = {window: mel_filters(window, bands) for window, bands in RESOLUTIONS.items()}


def amplitudes(waveform: Tensor, window: int) -> Tensor:
    """waveform [batch, samples] -> [batch, window / 2 + 1, steps]; a full-scale sine has 1."""
    spectrum = torch.stft(waveform, window, window // 4, window=WINDOWS[window], return_complex=True)
    return spectrum.abs().clamp(min=1e-7) / (window / 4)


def log_mel(amplitude: Tensor, window: int) -> Tensor:
    """Natural logarithm of the amplitude in mel bands, not below that of FLOOR."""
    return (FILTERS[window] @ amplitude).clamp(min=FLOOR).log()


def spectral_loss(wanted: Tensor, given: Tensor) -> Tensor:
    """Mean over the resolutions: mean distance of log mel amplitudes plus half the relative distance of amplitudes.

    Both [batch, samples].
    """
    losses = []
    for window in RESOLUTIONS:
        target, output = amplitudes(wanted, window), amplitudes(given, window)
        mel = (log_mel(target, window) - log_mel(output, window)).abs().mean()
        losses.append(mel + 0.5 * (target - output).norm() / target.norm().clamp(min=1e-3))
    return torch.stack(losses).mean()


def mel_distance(wanted: Tensor, given: Tensor) -> float:
    """Mean absolute difference of the log mel amplitudes (1 is 8.7 dB) of two batches of waveforms."""
    spectra = (log_mel(amplitudes(waveform, REPORTED), REPORTED) for waveform in (wanted, given))
    return float(torch.sub(*spectra).abs().mean())


def envelope(waveform: Tensor) -> Tensor:
    """Root mean square of every 20 ms: waveform [samples] -> [samples / 480]."""
    return waveform[: len(waveform) // ENVELOPE * ENVELOPE].unflatten(0, (-1, ENVELOPE)).square().mean(1).sqrt()


def envelope_correlation(wanted: Tensor, given: Tensor) -> float:
    """Correlation of two waveforms' envelopes."""
    return float(torch.corrcoef(torch.stack([envelope(wanted), envelope(given)]))[0, 1])


def loudest_silence(wanted: Tensor, given: Tensor) -> float:
    """The largest value of the given waveform's envelope where the wanted waveform is silent."""
    return float(envelope(given)[envelope(wanted) < SILENT].max())
