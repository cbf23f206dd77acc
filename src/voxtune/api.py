"""voxtune from Python: `voxtune.load("out/").transcribe(["a.wav"])`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NoReturn

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from voxtune.data.audio import resample
from voxtune.data.sample import AudioPart, Sample, transcription
from voxtune.errors import VoxtuneError
from voxtune.families.family import Settings
from voxtune.inference import Precision, ReadyModel, load_model
from voxtune.transcription.inputs import file_keys
from voxtune.transcription.transcribe import Recording, Transcript, transcribe

Waveform = tuple[NDArray[np.float32] | Tensor, int]
"""Samples in [-1, 1], one channel [samples], and their rate in Hz."""


def load(
    source: str | Path,
    *,
    device: str | None = None,
    precision: Precision = "fp32",
    checkpoint: Literal["best", "last"] = "best",
) -> SpeechModel:
    """Load a model: the folder of a run, an exported or published folder, a hub id, or "tiny" (built in).

    device: None = the best there is. checkpoint: which one of a run. Raises VoxtuneError saying what is missing.
    """
    return SpeechModel(load_model(str(source), "transcribe", device=device, precision=precision, checkpoint=checkpoint))


class SpeechModel:
    """A model that answers to speech."""

    def __init__(self, ready: ReadyModel) -> None:
        self.ready = ready

    def transcribe(
        self,
        audio: str | Path | Waveform | Sample | Sequence[str | Path | Waveform | Sample],
        *,
        language: str | None = None,
        hotwords: Sequence[str] = (),
        text_normalization: bool = True,
        timestamps: bool = False,
        batch_size: int = 8,
        max_new_tokens: int = 512,
    ) -> list[Transcript]:
        """One transcript for each recording, in order.

        audio: a file, URL, pair of waveform and rate, or Sample; or a list of them. language: of the text, None = as it
        is spoken. text_normalization: false = no digits and punctuation. timestamps: also the times of single pieces
        of text, where the checkpoint can tell them. Raises VoxtuneError naming the first recording that cannot be
        read; nothing is left out.
        """
        several = [audio] if isinstance(audio, str | Path | tuple | Sample) else list(audio)
        settings = Settings(
            max_new_tokens=max_new_tokens,
            batch_size=batch_size,
            language=language,
            hotwords=list(hotwords),
            text_normalization=text_normalization,
            timestamps=timestamps,
        )
        keys = file_keys([str(item) for item in several if isinstance(item, str | Path)])
        recordings = [self._recording(item, number, keys) for number, item in enumerate(several, 1)]
        return transcribe(self.ready, recordings, settings, failed=_raise)

    def _recording(self, item: str | Path | Waveform | Sample, number: int, keys: dict[str, str]) -> Recording:
        if isinstance(item, Sample):
            return Recording(item)
        if isinstance(item, str | Path):
            return Recording(transcription(keys[str(item)], AudioPart(path=str(item))))
        if len(item) != 2 or not isinstance(item[1], int):
            raise VoxtuneError(f"recording {number}: a pair (samples, rate in Hz) is needed; put several into a list")
        array = item[0].detach().cpu().numpy() if isinstance(item[0], Tensor) else np.asarray(item[0])
        if array.ndim != 1 or array.dtype.kind != "f":
            raise VoxtuneError(
                f"recording {number}: floats in [-1, 1] of one channel are needed, [samples]; found {array.dtype} "
                f"{list(array.shape)}"
            )
        layout = self.ready.layout
        waveform = resample(array.astype(np.float32), item[1], layout.sample_rate, layout.resampler)
        name = f"waveform-{number}"
        return Recording(transcription(name, AudioPart(path=name)), waveform)


def _raise(sample: Sample, error: VoxtuneError) -> NoReturn:
    raise error
