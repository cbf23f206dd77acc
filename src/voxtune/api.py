"""voxtune from Python: `voxtune.load("out/").transcribe(["a.wav"])`, or `.converse(["dialogue.wav"])`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NoReturn

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from voxtune.conversation.converse import converse
from voxtune.conversation.inputs import played_by, read_dialogues
from voxtune.data.audio import resample
from voxtune.data.formats.lines import Problems
from voxtune.data.sample import AudioPart, Sample, transcription
from voxtune.errors import VoxtuneError
from voxtune.families.family import Continuation, DialogueSettings, Settings
from voxtune.families.source import TINY
from voxtune.inference import Precision, ReadyModel, load_model
from voxtune.transcription.inputs import file_keys
from voxtune.transcription.transcribe import Recording, Transcript, transcribe

Waveform = tuple[NDArray[np.float32] | Tensor, int]
"""Samples in [-1, 1], one channel [samples], and their rate in Hz."""


def load(
    source: str | Path,
    *,
    verb: str | None = None,
    device: str | None = None,
    precision: Precision = "fp32",
    checkpoint: Literal["best", "last"] = "best",
) -> SpeechModel:
    """Load a model: the folder of a run, an exported or published folder, a hub id, or "tiny" (built in).

    verb: what it shall do, "transcribe" or "converse"; None = what it can, and of the built-in models the one that
    transcribes. device: None = the best there is. checkpoint: which one of a run. Raises VoxtuneError saying what is
    missing.
    """
    if str(source) == TINY:
        verb = verb or "transcribe"
    return SpeechModel(load_model(str(source), verb, device=device, precision=precision, checkpoint=checkpoint))


class SpeechModel:
    """A model that hears: it transcribes, or goes on with dialogues."""

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
        self._check("transcribe")
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

    def converse(
        self,
        dialogues: str | Path | Sample | Sequence[str | Path | Sample],
        *,
        prompt_seconds: float = DialogueSettings.prompt_seconds,
        seconds: float = DialogueSettings.seconds,
        speaker: Literal["A", "B"] | None = None,
        temperature: float = DialogueSettings.temperature,
        top_k: int = DialogueSettings.top_k,
        text_temperature: float = DialogueSettings.text_temperature,
        text_top_k: int = DialogueSettings.text_top_k,
        batch_size: int = DialogueSettings.batch_size,
        seed: int = DialogueSettings.seed,
    ) -> list[Continuation]:
        """How each dialogue goes on for `seconds` after its first `prompt_seconds`, in order.

        dialogues: a stereo recording (left A, right B), a folder of them, a data file, or a Sample; or a list of them.
        speaker: who the model plays, None = as the data say, else A. temperature, top_k: how codes are drawn; 0 is the
        likeliest, or all. The same seed and key give the same continuation. Raises VoxtuneError naming the first
        dialogue that cannot be used; nothing is left out.
        """
        self._check("converse")
        several = [dialogues] if isinstance(dialogues, str | Path | Sample) else list(dialogues)
        problems = Problems()
        samples: list[Sample] = []
        for item in several:
            samples += [item] if isinstance(item, Sample) else read_dialogues([str(item)], None, problems)
        problems.raise_errors()
        settings = DialogueSettings(
            prompt_seconds=prompt_seconds,
            seconds=seconds,
            temperature=temperature,
            top_k=top_k,
            text_temperature=text_temperature,
            text_top_k=text_top_k,
            batch_size=batch_size,
            seed=seed,
        )
        played = samples if speaker is None else [played_by(sample, speaker) for sample in samples]
        return [found for _, found in converse(self.ready, played, settings, failed=_raise)]

    def _check(self, verb: str) -> None:
        family = self.ready.family
        if verb not in family.verbs:
            raise VoxtuneError(f"a model of {family.name} cannot {verb}; it can {', '.join(family.verbs)}")

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
