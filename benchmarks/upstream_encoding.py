"""In upstream's environment: recordings to codes the way of nu-dialogue/moshi-finetune, tools/tokenize_audio.py.

One file after the other; each channel by itself, in pieces of 1200 s; an npz file for each recording. torchaudio has no
build beside torch for CPUs, so files are read with the standard library, and resampled by the same filter of ours.
"""

from __future__ import annotations

import json
import sys
import time
import wave
from pathlib import Path
from typing import Any

import numpy as np
import torch
from moshi.models import loaders
from torch import Tensor

from benchmarks.upstream_process import answer
from voxtune.parts.resampling import resample_sinc

CHUNK_SECONDS = 1200


class Tokenizer:
    """Upstream's codec from a folder in upstream's layout."""

    def __init__(self, folder: Path) -> None:
        config = json.loads((folder / "mimi.json").read_text(encoding="utf-8"))
        self.mimi = loaders.get_mimi(folder / "mimi.safetensors", config, num_codebooks=config.pop("num_codebooks"))

    def run(self, request: dict[str, Any]) -> float:
        """Encode every wav file of a folder into another one; the seconds that it took."""
        output = Path(request["output"])
        output.mkdir()
        began = time.process_time()
        for path in sorted(Path(request["audio"]).glob("*.wav")):
            waveforms = resample_sinc(*_read(path), self.mimi.sample_rate)
            a, b = (self._codes(waveform) for waveform in waveforms)
            np.savez_compressed(output / f"{path.stem}.npz", A=a.numpy(), B=b.numpy())
        return time.process_time() - began

    @torch.no_grad()
    def _codes(self, waveform: Tensor) -> Tensor:
        chunks = waveform.split(CHUNK_SECONDS * self.mimi.sample_rate)
        return torch.cat([self.mimi.encode(chunk[None, None]) for chunk in chunks], -1)[0]


def _read(path: Path) -> tuple[Tensor, int]:
    """Waveforms [channels, samples] of 16-bit PCM in [-1, 1], and their rate."""
    with wave.open(str(path)) as file:
        frames = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, file.getnchannels())
        return torch.from_numpy(frames.astype(np.float32) / 32768).T.contiguous(), file.getframerate()


if __name__ == "__main__":
    torch.set_num_threads(1)
    answer(Tokenizer(Path(sys.argv[1])).run)
