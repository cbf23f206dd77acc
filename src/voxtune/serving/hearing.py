"""What a client says: an Ogg Opus stream in, frames of waveform out."""

from __future__ import annotations

import asyncio

import numpy as np
import sphn
import torch
from torch import Tensor

from voxtune.serving.protocol import ClientError

SLICE_BYTES = 1024
"""Decoded at once: a few bytes of Opus can hold minutes of silence, and decoding must not stall the other clients."""


class Hearing:
    """Decodes what arrives and hands it out in frames.

    open: what arrives is kept; else it is only counted in `skipped` (seconds). The stream is decoded all the same,
    since its headers come first.
    """

    def __init__(self, sample_rate: int, frame_size: int, longest_lag: float) -> None:
        self.open = False
        self.skipped = 0.0
        self._sample_rate = sample_rate
        self._frame_size = frame_size
        self._longest_lag = longest_lag
        self._reader = sphn.OpusStreamReader(sample_rate)
        self._waveform = np.zeros(0, dtype=np.float32)
        self._grown = asyncio.Event()

    @property
    def lag(self) -> float:
        """Seconds of audio that nobody has taken yet."""
        return len(self._waveform) / self._sample_rate

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the stream.

        Raises ClientError when they are no Ogg Opus, or when more than `longest_lag` seconds wait.
        """
        for start in range(0, len(data), SLICE_BYTES):
            try:
                waveform = self._reader.append_bytes(data[start : start + SLICE_BYTES])
            except ValueError as error:
                raise ClientError(f"audio that is no Ogg Opus stream ({error})") from error
            if not self.open:
                self.skipped += len(waveform) / self._sample_rate
                continue
            self._waveform = np.concatenate((self._waveform, waveform))
            if self.lag > self._longest_lag:
                raise ClientError(
                    f"the model is more than {self._longest_lag:g} s behind: audio comes faster than it can be heard"
                )
        self._grown.set()

    async def frame(self) -> Tensor:
        """The next frame, float32 [frame_size]; waits until it is whole."""
        while len(self._waveform) < self._frame_size:
            self._grown.clear()
            await self._grown.wait()
        frame, self._waveform = np.split(self._waveform, [self._frame_size])
        return torch.from_numpy(frame)
