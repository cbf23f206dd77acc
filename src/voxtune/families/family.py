"""The contract of a family: what the stages ask of a model, and nothing else."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from pydantic import BaseModel
from torch import Tensor, nn

from voxtune.data.audio import Resampler
from voxtune.data.example import AudioInput, Batch, Example
from voxtune.data.sample import Sample


class Model(nn.Module, ABC):
    """A network as the loop sees it: a batch in, per named stream the sum of the negative log-likelihood out."""

    @property
    @abstractmethod
    def stream_weights(self) -> dict[str, float]:
        """Weight of each stream's mean in the loss."""

    @abstractmethod
    def label_counts(self, batch: Batch) -> dict[str, int]:
        """What each stream's sum is divided by, known before the forward pass."""

    @abstractmethod
    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Sums of the negative log-likelihood (float32 scalars), one a stream."""


@dataclass(frozen=True)
class Size:
    """What a sample will cost: positions of the language model, rows of the audio encoder, label positions."""

    frames: int
    rows: int
    labels: int

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

    @abstractmethod
    def size(self, sample: Sample, seconds: Sequence[float]) -> Size:
        """The sample's cost, from the lengths of its recordings alone."""

    @abstractmethod
    def example(
        self, sample: Sample, audio: Sequence[Tensor | AudioInput], random: np.random.Generator | None
    ) -> Example:
        """The sample's token streams. `audio`: per recording its waveform [samples], or what was encoded ahead.

        `random` drives augmentation; None = none.
        """


class AudioEncoder(Protocol):
    """A frozen part of a model whose output is worth computing once.

    stage: what it sets as `AudioInput.encoded`. fingerprint: hexadecimal, other for anything that its output depends
    on. front_end: waveform [samples] to the rows that it reads; picklable, data workers run it. rows_per_second,
    values_per_second: of audio, how many rows it reads and how many numbers it gives.
    """

    stage: str
    fingerprint: str
    front_end: Callable[[Tensor], Tensor]
    rows_per_second: float
    values_per_second: float

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
class Lora:
    """Where LoRA goes by default and how upstream calls it."""

    part: str
    targets: tuple[str, ...]


class Family(ABC):
    """Ties the rooms of a family together."""

    name: str
    tasks: tuple[str, ...]
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

    @abstractmethod
    def layout(self, model: Model, options: BaseModel, task: str) -> Layout:
        """The token layout of a task."""

    @abstractmethod
    def parts_for(self, hours: float) -> list[str]:
        """Which parts to train with this much audio (`tune.parts: auto`)."""

    @abstractmethod
    def frozen_encoder(self, model: Model, layout: Layout, trained: Collection[str]) -> AudioEncoder | None:
        """The deepest audio stage that training anything in these parts leaves as it is; None = there is none."""

    @abstractmethod
    def export(self, model: Model, folder: Path) -> None:
        """Write the model into an empty folder in upstream's own layout. LoRA, where present, stays beside its base
        weights under upstream's names."""

    @abstractmethod
    def generate(
        self, model: Model, layout: Layout, samples: Sequence[tuple[Sample, Sequence[Tensor]]], settings: Settings
    ) -> Iterator[Output]:
        """Answers to samples with their waveforms, in order, as one batch."""
