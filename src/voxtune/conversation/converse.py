"""How dialogues go on: each is looked at, they share batches, and come in the order asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from voxtune.data.audio import probe
from voxtune.data.sample import AudioPart, Sample
from voxtune.errors import DataError, VoxtuneError
from voxtune.families.family import Continuation, DialogueSettings
from voxtune.inference import ReadyModel

SLACK_SECONDS = 1.0
"""Read behind what is needed, so that resampling changes nothing of that."""
ROUNDING_SECONDS = 1e-6


def converse(
    ready: ReadyModel,
    samples: Sequence[Sample],
    settings: DialogueSettings,
    *,
    failed: Callable[[Sample, VoxtuneError], None],
    advanced: Callable[[int], None] = lambda done: None,
) -> Iterator[tuple[int, Continuation]]:
    """How the dialogues that can be used go on, in order, each with the number of its sample.

    failed: is told of each dialogue that cannot be used, and why. advanced: is told how many are done. Raises
    VoxtuneError when the model cannot go on with dialogues.
    """
    for first in range(0, len(samples), settings.batch_size):
        group = samples[first : first + settings.batch_size]
        heard: dict[int, tuple[Sample, list[Tensor]]] = {}
        for number, sample in enumerate(group, first):
            try:
                heard[number] = sample, _beginning(ready, sample, settings)
            except VoxtuneError as error:
                failed(sample, error)
        if heard:
            yield from zip(heard, _continued(ready, list(heard.values()), settings), strict=True)
        advanced(first + len(group))


def _beginning(ready: ReadyModel, sample: Sample, settings: DialogueSettings) -> list[Tensor]:
    """The waveforms of as much of a dialogue as can matter, none of an encoded one. Raises DataError."""
    if sample.dialogue is None:
        raise DataError(f"{sample.origin}: a conversation of turns; a dialogue of two speakers at once is needed")
    for part in sample.dialogue.audio:
        channels = probe(part).channels
        if len(sample.dialogue.audio) == 1 and channels != 2:
            raise DataError(f"{part.path}: {channels} channels; a dialogue is a stereo recording, left A and right B")
    seconds = [probe(part).seconds for part in sample.audio]
    lasts = sample.duration(seconds)
    where = sample.origin if sample.place else ", ".join(part.path for part in sample.dialogue.audio) or sample.origin
    if lasts < settings.prompt_seconds - ROUNDING_SECONDS:
        raise DataError(
            f"{where}: lasts {lasts:.2f} s, shorter than the prompt of {settings.prompt_seconds:g} s; give a longer "
            "recording, or a shorter prompt"
        )
    for problem in ready.layout.problems(sample, seconds):
        raise DataError(f"{where}: {problem}")
    needed = settings.prompt_seconds + settings.seconds + SLACK_SECONDS
    audio = [_shortened(part, needed) for part in sample.dialogue.audio]
    dialogue = sample.dialogue.model_copy(update={"audio": audio})
    return ready.layout.waveforms(sample.model_copy(update={"dialogue": dialogue}))


def _shortened(part: AudioPart, seconds: float) -> AudioPart:
    return part if probe(part).seconds <= seconds else part.model_copy(update={"duration": seconds})


def _continued(
    ready: ReadyModel, heard: list[tuple[Sample, list[Tensor]]], settings: DialogueSettings
) -> list[Continuation]:
    try:
        return list(ready.family.converse(ready.model, ready.layout, heard, settings))
    except torch.OutOfMemoryError as error:
        raise VoxtuneError(
            f"the device has too little memory for {len(heard)} dialogues at once; lower the batch size"
        ) from error
