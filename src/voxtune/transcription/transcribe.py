"""Recordings to text: batches of similar length, long recordings cut at pauses, results in the order asked."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from voxtune.data.audio import load, probe
from voxtune.data.sample import Sample
from voxtune.data.segmentation import segment
from voxtune.errors import DataError, VoxtuneError
from voxtune.families.family import Output, Settings, TimedToken
from voxtune.inference import ReadyModel

logger = logging.getLogger(__name__)

LONGEST_SECONDS = 30.0
"""Longer recordings are cut at pauses, as upstream does."""


@dataclass(frozen=True)
class Recording:
    """A sample to transcribe. waveform: its only recording at the model's rate, [samples]; None = files are read."""

    sample: Sample
    waveform: Tensor | None = None


@dataclass(frozen=True)
class Segment:
    """A stretch of a recording in seconds and what is said in it."""

    start: float
    end: float
    text: str


@dataclass
class Transcript(Output):
    """What a model answered to one recording; all times are seconds from its beginning.

    segments: the stretches that were decoded one by one.
    """

    segments: list[Segment] = field(default_factory=list)


def transcribe(
    ready: ReadyModel,
    recordings: Sequence[Recording],
    settings: Settings,
    *,
    longest: float = LONGEST_SECONDS,
    failed: Callable[[Sample, VoxtuneError], None],
    advanced: Callable[[float, float], None] = lambda done, total: None,
) -> list[Transcript]:
    """Transcripts of the recordings that can be read, in their order.

    A warning is logged for each text that `max_new_tokens` cut off (`Transcript.complete` is false).
    longest: seconds that are decoded at once. failed: is told of each recording that cannot be read, and why.
    advanced: is told how many seconds of how many are done. Raises VoxtuneError when the model cannot do what the
    settings ask for.
    """
    work = _Work(ready, settings, failed, advanced)
    short: list[tuple[int, Recording]] = []
    long: list[tuple[int, Recording]] = []
    for number, recording in enumerate(recordings):
        seconds = work.measure(number, recording)
        if seconds is not None:
            (long if seconds > longest and len(recording.sample.audio) == 1 else short).append((number, recording))
    work.decode([_Stretch(number, item, 0.0, work.seconds[number]) for number, item in short])
    for number, recording in long:
        work.decode(work.cut(number, recording, longest))
    return [work.transcript(number, recordings[number].sample) for number in sorted(work.answers)]


@dataclass(frozen=True)
class _Stretch:
    """What is decoded at once: a whole recording, or a stretch of it, in seconds."""

    number: int
    recording: Recording
    start: float
    end: float


class _Work:
    """What is known of the recordings so far, by their number."""

    def __init__(
        self,
        ready: ReadyModel,
        settings: Settings,
        failed: Callable[[Sample, VoxtuneError], None],
        advanced: Callable[[float, float], None],
    ) -> None:
        self.ready = ready
        self.settings = settings
        self.failed = failed
        self.advanced = advanced
        self.seconds: dict[int, float] = {}
        self.answers: dict[int, list[tuple[float, float, Output]]] = {}
        self.done = 0.0

    def measure(self, number: int, recording: Recording) -> float | None:
        """Note and return the length of a recording; None when it cannot be read."""
        sample = recording.sample
        try:
            if sample.dialogue is not None:
                raise DataError(f"{sample.origin}: a two-speaker dialogue; give each speaker's channel as a recording")
            if recording.waveform is not None:
                seconds = len(recording.waveform) / self.ready.layout.sample_rate
            else:
                seconds = sum(probe(part).seconds for part in sample.audio)
            if not seconds:
                raise DataError(f"{sample.origin}: nothing to hear; give a recording")
        except VoxtuneError as error:
            self.failed(sample, error)
            return None
        self.seconds[number] = seconds
        return seconds

    def cut(self, number: int, recording: Recording, longest: float) -> list[_Stretch]:
        """The stretches of a long recording, which is held in memory; none when it cannot be read."""
        layout = self.ready.layout
        try:
            (waveform,) = self._waveforms(recording)
        except VoxtuneError as error:
            self.failed(recording.sample, error)
            return []
        pieces = []
        for start, end in segment(waveform, layout.sample_rate, longest):
            heard = waveform[round(start * layout.sample_rate) : round(end * layout.sample_rate)]
            pieces.append(_Stretch(number, Recording(recording.sample, heard), start, end))
        return pieces

    def decode(self, stretches: list[_Stretch]) -> None:
        """Answer stretches in batches, the longest first."""
        size = self.settings.batch_size
        stretches = sorted(stretches, key=lambda stretch: stretch.start - stretch.end)
        for first in range(0, len(stretches), size):
            batch = stretches[first : first + size]
            heard: list[tuple[_Stretch, list[Tensor]]] = []
            for stretch in batch:
                try:
                    heard.append((stretch, self._waveforms(stretch.recording)))
                except VoxtuneError as error:
                    self.failed(stretch.recording.sample, error)
            for (stretch, _), output in zip(heard, self._generate(heard), strict=True):
                self.answers.setdefault(stretch.number, []).append((stretch.start, stretch.end, output))
            self.done += sum(stretch.end - stretch.start for stretch in batch)
            self.advanced(self.done, sum(self.seconds.values()))

    def transcript(self, number: int, sample: Sample) -> Transcript:
        """The answers to a recording's stretches as one."""
        answers = sorted(self.answers[number], key=lambda answer: answer[0])
        segments = [Segment(start, end, output.text.strip()) for start, end, output in answers]
        text = " ".join(item.text for item in segments if item.text)
        times = [_shifted(token, start) for start, _, output in answers for token in output.timestamps]
        cut = [(start, end) for start, end, output in answers if not output.complete]
        if cut:
            logger.warning(
                "%s: the text is cut off at max_new_tokens = %d (%s); raise max_new_tokens, or check the recording",
                sample.key,
                self.settings.max_new_tokens,
                ", ".join(f"{start:.1f} to {end:.1f} s" for start, end in cut),
            )
        return Transcript(sample.key, text, times, not cut, segments)

    def _waveforms(self, recording: Recording) -> list[Tensor]:
        if recording.waveform is not None:
            return [recording.waveform]
        layout = self.ready.layout
        return [load(part, layout.sample_rate, layout.resampler) for part in recording.sample.audio]

    def _generate(self, heard: list[tuple[_Stretch, list[Tensor]]]) -> list[Output]:
        if not heard:
            return []
        family, model, layout = self.ready.family, self.ready.model, self.ready.layout
        asked = [(stretch.recording.sample, waveforms) for stretch, waveforms in heard]
        try:
            return list(family.generate(model, layout, asked, self.settings))
        except torch.OutOfMemoryError as error:
            raise VoxtuneError(
                f"the device has too little memory for {len(heard)} recordings at once; lower the batch size"
            ) from error


def _shifted(token: TimedToken, seconds: float) -> TimedToken:
    return replace(token, start=token.start + seconds, end=token.end + seconds)
