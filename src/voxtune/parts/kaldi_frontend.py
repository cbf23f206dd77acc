"""Kaldi log-mel features, stacked at a low frame rate.

Source of the numbers: funasr/frontends/wav_frontend.py (`WavFrontend`, `apply_lfr`, `apply_cmvn`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import kaldi_native_fbank
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from voxtune.errors import CheckpointError

INT16_SCALE = 32768
SHORTEST_WINDOW = 257
"""Samples; with fewer the transform is too coarse for 80 mel bins, and kaldi-native-fbank 1.23 refuses."""


@dataclass(frozen=True)
class FrontendConfig:
    """Sizes of the front end; the defaults are those of the published Fun-ASR-Nano."""

    sample_rate: int = 16000
    mel_bins: int = 80
    frame_length_ms: float = 25.0
    frame_shift_ms: float = 10.0
    window: str = "hamming"
    stacked: int = 7
    stride: int = 6

    @property
    def width(self) -> int:
        """Values of one stacked row."""
        return self.mel_bins * self.stacked

    def log_mel_frames(self, samples: int) -> int:
        """Frames of a recording of this many samples: one at least, windows stay inside the recording."""
        window = int(self.sample_rate * self.frame_length_ms / 1000)
        shift = int(self.sample_rate * self.frame_shift_ms / 1000)
        return 1 + max(0, samples - window) // shift

    def rows(self, samples: int) -> int:
        """Stacked rows of a recording of this many samples."""
        return -(-self.log_mel_frames(samples) // self.stride)


def log_mel(waveform: Tensor, config: FrontendConfig) -> Tensor:
    """Natural-log mel energies of a mono waveform in [-1, 1], float32 [frames, mel_bins].

    No dither. A recording shorter than one window is one window as long as itself, as upstream does, but 16 ms at
    least.
    """
    waveform = F.pad(waveform, (0, max(0, SHORTEST_WINDOW - len(waveform))))
    options = kaldi_native_fbank.FbankOptions()
    options.frame_opts.samp_freq = config.sample_rate
    options.frame_opts.dither = 0.0
    options.frame_opts.window_type = config.window
    options.frame_opts.frame_shift_ms = config.frame_shift_ms
    options.frame_opts.frame_length_ms = min(config.frame_length_ms, len(waveform) / config.sample_rate * 1000)
    options.mel_opts.num_bins = config.mel_bins
    options.energy_floor = 0.0
    fbank = kaldi_native_fbank.OnlineFbank(options)
    fbank.accept_waveform(config.sample_rate, (waveform * INT16_SCALE).numpy())  # type: ignore[arg-type]
    fbank.input_finished()
    return torch.from_numpy(np.stack([fbank.get_frame(i) for i in range(fbank.num_frames_ready)]))


def stack_frames(frames: Tensor, config: FrontendConfig) -> Tensor:
    """Low frame rate: row i holds frames `stride`*i - stacked//2 onwards, edges repeated. [rows, width]."""
    rows = -(-len(frames) // config.stride)
    slots = torch.arange(rows)[:, None] * config.stride + torch.arange(config.stacked) - config.stacked // 2
    return frames[slots.clamp(0, len(frames) - 1)].flatten(1)


@dataclass(frozen=True)
class Cmvn:
    """Mean and variance normalisation of stacked rows: (x + shift) * scale."""

    shift: Tensor
    scale: Tensor

    def __call__(self, rows: Tensor) -> Tensor:
        return (rows + self.shift) * self.scale

    @classmethod
    def read(cls, path: Path) -> Cmvn:
        """Read a Kaldi nnet text file (`am.mvn`). Raises CheckpointError when it is not one."""
        text = path.read_text(encoding="utf-8")
        found = {
            name: re.search(rf"<{name}>.*?<LearnRateCoef>\s+\S+\s+\[([^\]]*)\]", text, re.DOTALL)
            for name in ("AddShift", "Rescale")
        }
        values = [torch.tensor([float(v) for v in match[1].split()]) for match in found.values() if match]
        if len(values) != 2 or len(values[0]) != len(values[1]):
            raise CheckpointError(f"{path}: not a Kaldi normalisation file (needs <AddShift> and <Rescale> vectors)")
        return cls(*values)


def features(waveform: Tensor, config: FrontendConfig, cmvn: Cmvn | None = None) -> Tensor:
    """Waveform [samples] to the rows that the encoder reads, float32 [rows, width]."""
    rows = stack_frames(log_mel(waveform, config), config)
    return cmvn(rows) if cmvn else rows
