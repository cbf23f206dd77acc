"""The frozen audio stages of Fun-ASR-Nano: what they compute need not be computed again in every epoch."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from voxtune.data.example import AudioInput
from voxtune.families.fun_asr_nano.layout import AsrLayout
from voxtune.families.fun_asr_nano.model import ADAPTOR, ENCODER, FunAsrNano

FORMAT = 1
"""Goes into every fingerprint. Raise it when the code gives other numbers for the same weights."""


def frozen_encoder(model: FunAsrNano, layout: AsrLayout, trained: Collection[str]) -> FrozenEncoder | None:
    """The deepest audio stage whose output training does not change.

    None when the encoder is trained, or when what it reads is random (dither, SpecAugment). The adaptor belongs to
    it when it is frozen too and no CTC loss needs the frames before it.
    """
    if ENCODER in trained or layout.options.dither or layout.options.spec_augment:
        return None
    adaptor_too = ADAPTOR not in trained and not model.ctc_weight
    return FrozenEncoder(model, layout, ADAPTOR if adaptor_too else ENCODER)


class FrozenEncoder:
    """An AudioEncoder: the SAN-M encoder, or with stage ADAPTOR also the adaptor, of which only the frames that enter
    the language model are kept."""

    def __init__(self, model: FunAsrNano, layout: AsrLayout, stage: str) -> None:
        self.stage = stage
        self.codes = False
        self.front_end: Callable[[Tensor], Tensor] = layout.features
        frontend = layout.config.frontend
        self.rows_per_second = 1000 / (frontend.frame_shift_ms * frontend.stride)
        self._model = model
        self._parts: list[nn.Module] = [model.audio_encoder]
        self._positions = layout.config.audio_frames
        if stage == ADAPTOR:
            self._parts.append(model.audio_adaptor)
            hour = self._positions(round(3600 * self.rows_per_second))
            values_per_second = hour / 3600 * model.config.adaptor.llm_dim
        else:
            values_per_second = self.rows_per_second * model.config.encoder.output_size
        self.bytes_per_second = 4 * values_per_second
        self.fingerprint = self._fingerprint(layout)

    @torch.no_grad()
    def __call__(self, rows: list[Tensor]) -> list[AudioInput]:
        device = self._model.audio_encoder.tp_norm.weight.device
        positions = [self._positions(len(r)) for r in rows]
        with evaluating(self._parts):
            frames = self._model.encoder_frames([r.to(device) for r in rows])
            if self.stage == ADAPTOR:
                adapted = self._model.adaptor_frames(list(frames))
                frames = tuple(f[:count] for f, count in zip(adapted, positions, strict=True))
        return [
            AudioInput(f.to("cpu", copy=True), 0, count, self.stage) for f, count in zip(frames, positions, strict=True)
        ]

    def _fingerprint(self, layout: AsrLayout) -> str:
        digest = hashlib.sha256(f"{FORMAT} {self.stage} {layout.resampler} {layout.config.low_frame_rate}".encode())
        digest.update(f"{layout.config.frontend} {layout.config.encoder} {layout.config.adaptor}".encode())
        if layout.cmvn:
            _add(digest, layout.cmvn.shift)
            _add(digest, layout.cmvn.scale)
        for part in self._parts:
            for name, weight in sorted(part.state_dict().items()):
                digest.update(f"{name} {weight.dtype} {list(weight.shape)}".encode())
                _add(digest, weight)
        return digest.hexdigest()


@contextmanager
def evaluating(parts: list[nn.Module]) -> Iterator[None]:
    """Dropout off in these modules, and afterwards each as it was."""
    modes = [(module, module.training) for part in parts for module in part.modules()]
    try:
        for part in parts:
            part.eval()
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def _add(digest: hashlib._Hash, values: Tensor) -> None:
    digest.update(values.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
