"""The codec as what is computed ahead of a run."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable

import torch
from torch import Tensor

from voxtune.data.example import AudioInput
from voxtune.parts.mimi.codec import Mimi

FORMAT = 1
"""Goes into every fingerprint. Raise it when the code gives other codes for the same weights."""


class CodecEncoder:
    """An AudioEncoder: waveforms to codes, int16 [frames, codebooks]."""

    stage: str = "mimi"
    codes: bool = True

    def __init__(self, codec: Mimi, device: torch.device) -> None:
        self.rows_per_second = codec.frame_rate
        self.bytes_per_second = 2 * codec.codebooks * codec.frame_rate
        self.front_end: Callable[[Tensor], Tensor] = Frames(codec.frame_size)
        self.fingerprint = _fingerprint(codec)
        # Data workers read the codec that the layout holds; it stays where it is.
        self._codec = codec if device.type == "cpu" else copy.deepcopy(codec).to(device)
        self._device = device

    @torch.no_grad()
    def __call__(self, rows: list[Tensor]) -> list[AudioInput]:
        codes = self._codec.encode([frames.flatten().to(self._device) for frames in rows])
        return [AudioInput(c.T.to("cpu", torch.int16).contiguous(), 0, c.shape[1], self.stage) for c in codes]


class Frames:
    """A waveform [samples] as frames [frames, frame_size], the last one filled up with zeros."""

    def __init__(self, frame_size: int) -> None:
        self.frame_size = frame_size

    def __call__(self, waveform: Tensor) -> Tensor:
        missing = -len(waveform) % self.frame_size
        return torch.nn.functional.pad(waveform, (0, missing)).view(-1, self.frame_size)


def _fingerprint(codec: Mimi) -> str:
    digest = hashlib.sha256(f"{FORMAT} {codec.config} {codec.codebooks}".encode())
    for name, weight in sorted(codec.state_dict().items()):
        digest.update(f"{name} {weight.dtype} {list(weight.shape)}".encode())
        digest.update(weight.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
