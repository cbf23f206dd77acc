"""The contract of a family: what the stages ask of a model, and nothing else."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch
from pydantic import BaseModel
from torch import Tensor, nn

from voxtune.data.audio import Resampler, load
from voxtune.data.example import AudioInput, Batch, Example
from voxtune.data.sample import Sample, Word
from voxtune.errors import VoxtuneError


class Model(nn.Module, ABC):
    """A network as the loop sees it: a batch in, per named stream the sum of the negative log-likelihood out."""

    @property
    @abstractmethod
    def stream_weights(self) -> dict[str, float]:
        """Weight of each stream's mean in the loss; a stream of weight 0 is only measured."""

    @abstractmethod
    def label_counts(self, batch: Batch) -> dict[str, float]:
        """What each stream's sum is divided by, known before the forward pass: its labels, or their weights."""

    @abstractmethod
    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Sums of the (weighted) negative log-likelihood, float32 scalars, one a stream."""


@dataclass(frozen=True)
class Size:
    """What a sample will cost: positions of the language model, rows of the audio encoder, label positions; and how
    long it is to hear."""

    frames: int
    rows: int
    labels: int
    seconds: float

    @property
    def cost(self) -> int:
        """The unit of `tokens_per_batch` and `tokens_per_step`."""
        return self.frames + self.rows


class Layout(ABC):
    """Sample to Example, for one model and one task. Picklable: data workers hold a copy."""

    sample_rate: int
    resampler: Resampler

    @abstractmethod
    def problems(self, sample: Sample, seconds: Sequence[float]) -> list[str]:
        """Reasons why the sample cannot be trained on, given the length of its recordings; empty when it can."""

    def warnings(self, sample: Sample, seconds: Sequence[float]) -> list[str]:
        """What of a sample without problems is not learned from; empty when all of it is."""
        return []

    def views(self, sample: Sample, seconds: Sequence[float]) -> list[Sample]:
        """What training makes of a sample without problems: itself, or several, such as each speaker of a dialogue in
        turn, or pieces of a long one."""
        return [sample]

    @abstractmethod
    def size(self, sample: Sample, seconds: Sequence[float]) -> Size:
        """A view's cost, from the lengths of its recordings alone."""

    def waveforms(self, sample: Sample) -> list[Tensor]:
        """The sample's recordings, each [samples], at the rate that the model hears. Raises DataError."""
        return [load(part, self.sample_rate, self.resampler) for part in sample.audio]

    @abstractmethod
    def example(
        self, sample: Sample, audio: Sequence[Tensor | AudioInput], random: np.random.Generator | None
    ) -> Example:
        """A view's token streams. `audio`: per recording its waveform [samples], or what was encoded ahead.

        `random` drives augmentation; None = none.
        """

    def token_rows(self, sample: Sample, audio: Sequence[Tensor | AudioInput]) -> tuple[Tensor, Tensor]:
        """Both speakers of a whole dialogue, text over codes, each [1 + codebooks, frames], as upstream stores them."""
        raise VoxtuneError("this family's upstream has no files of tokens")


class AudioEncoder(Protocol):
    """A frozen part of a model whose output is worth computing once.

    stage: what it sets as `AudioInput.encoded`. fingerprint: hexadecimal, other for anything that its output depends
    on. front_end: waveform [samples] to the rows that it reads; picklable, data workers run it. rows_per_second,
    bytes_per_second: of audio, how many rows it reads and how much it gives, at most. codes: it gives codes, which are
    computed ahead of every run (data workers would be too slow) and in float32 whatever a run's precision.
    """

    stage: str
    fingerprint: str
    front_end: Callable[[Tensor], Tensor]
    rows_per_second: float
    bytes_per_second: float
    codes: bool

    def __call__(self, rows: list[Tensor]) -> list[AudioInput]:
        """What the model computes from each recording's rows [rows, width], on the CPU, `start` 0."""


@dataclass
class Settings:
    """How to generate: the family's default where None."""

    max_new_tokens: int = 512
    batch_size: int = 8
    language: str | None = None
    hotwords: list[str] = field(default_factory=list)
    text_normalization: bool = True
    timestamps: bool = False


@dataclass(frozen=True)
class TimedToken:
    """A piece of text with its time in seconds and a probability."""

    text: str
    start: float
    end: float
    score: float


@dataclass
class Output:
    """What a model answered to one sample. complete: the model ended its answer, `max_new_tokens` did not cut it."""

    key: str
    text: str
    timestamps: list[TimedToken] = field(default_factory=list)
    complete: bool = True


@dataclass(frozen=True)
class DialogueSettings:
    """How to go on with a dialogue. prompt_seconds: of each recording are heard, then `seconds` are made up.

    temperature 0 takes the likeliest token; top_k 0 draws from all.
    """

    prompt_seconds: float = 10.0
    seconds: float = 20.0
    temperature: float = 0.8
    top_k: int = 250
    text_temperature: float = 0.7
    text_top_k: int = 25
    batch_size: int = 8
    seed: int = 0


@dataclass(frozen=True)
class Continuation:
    """How a dialogue goes on after its prompt.

    tokens: int64 [streams, frames], without delays; waveform: float32 [2, samples], left what the model says, right
    its partner; words: what the model says, with times from the end of the prompt. partner: where the right channel
    comes from; a recording that ends is followed by silence. prompt: waveform of the prompt [2, samples].
    """

    key: str
    tokens: Tensor
    waveform: Tensor
    prompt: Tensor
    words: list[Word]
    partner: Literal["generated", "recording", "silence"]


class Duplex(ABC):
    """A model in a live conversation with one partner: a frame of the partner in, a frame of the model out."""

    sample_rate: int
    frame_size: int

    @abstractmethod
    def reset(self) -> None:
        """Forget the conversation; a new one begins."""

    @abstractmethod
    def step(self, waveform: Tensor) -> tuple[Tensor | None, str]:
        """Hear one frame, float32 [frame_size] on the CPU; returns what is said meanwhile [frame_size] (None in the
        first frames, before the first one is complete) and the text that begins with it, often ''."""


@dataclass(frozen=True)
class Lora:
    """Where LoRA goes by default and how upstream calls it."""

    part: str
    targets: tuple[str, ...]


class Family(ABC):
    """Ties the rooms of a family together."""

    name: str
    tasks: tuple[str, ...]
    verbs: tuple[str, ...]
    """What its models can do, as the command line calls it: transcribe, converse, serve."""
    targets: tuple[str, ...]
    """Runtimes that an export can be made for; the first is the default."""
    options: type[BaseModel]
    parts: dict[str, tuple[str, ...]]
    """Trainable parts: glob patterns over parameter names."""
    lora: Lora

    @abstractmethod
    def recognises(self, folder: Path) -> bool:
        """Whether a folder holds a checkpoint of this family, by its configuration; nothing heavy is read."""

    @abstractmethod
    def load(self, source: str, options: BaseModel, *, dtype: torch.dtype) -> Model:
        """Load an upstream folder, a hub id, or "tiny" (built in), on the CPU."""

    def exported(self, options: BaseModel) -> BaseModel:
        """A recipe's options as they are for what its run exported: without what loading changes in a source."""
        return options

    @abstractmethod
    def layout(self, model: Model, options: BaseModel, task: str) -> Layout:
        """The token layout of a task."""

    @abstractmethod
    def parts_for(self, hours: float, method: Literal["full", "lora"]) -> list[str]:
        """Which parts to train with this much audio (`tune.parts: auto`), beside LoRA where that is the method."""

    @abstractmethod
    def frozen_encoder(self, model: Model, layout: Layout, trained: Collection[str]) -> AudioEncoder | None:
        """The deepest audio stage that training anything in these parts leaves as it is; None = there is none."""

    @abstractmethod
    def export(self, model: Model, folder: Path, target: str, dtype: torch.dtype | None = None) -> None:
        """Write the model into an empty folder in the layout of one of `targets`. LoRA, where present, stays beside
        its base weights under upstream's names.

        dtype: of the written weights; None = as narrow as upstream has them where that loses nothing, else as in
        memory. Raises CheckpointError when the target cannot load such a model."""

    def generate(
        self, model: Model, layout: Layout, samples: Sequence[tuple[Sample, Sequence[Tensor]]], settings: Settings
    ) -> Iterator[Output]:
        """Answers to samples with their waveforms, in order, as one batch."""
        raise self._cannot("transcribe")

    def converse(
        self,
        model: Model,
        layout: Layout,
        samples: Sequence[tuple[Sample, Sequence[Tensor]]],
        settings: DialogueSettings,
    ) -> Iterator[Continuation]:
        """How dialogues with their waveforms go on, in order, as one batch."""
        raise self._cannot("converse")

    def sound(self, model: Model, layout: Layout, tokens: Tensor) -> Tensor:
        """How a dialogue's tokens [streams, frames] sound, float32 [2, samples]: left the one that the model plays.

        Raises DataError when they are not this model's.
        """
        raise self._cannot("converse")

    def duplex(self, model: Model, layout: Layout, settings: DialogueSettings) -> Duplex:
        """The model, ready for a live conversation. One at a time: it has one state."""
        raise self._cannot("serve")

    def _cannot(self, verb: str) -> VoxtuneError:
        return VoxtuneError(f"{self.name} cannot {verb}; it can {', '.join(self.verbs)}")
