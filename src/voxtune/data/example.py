"""What a model sees: token streams with labels, and batches of them laid end to end."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

IGNORED = -100
"""Label of a position that carries no loss."""


@dataclass
class AudioInput:
    """Continuous audio that enters the token streams.

    features: [rows, width], what the family's encoder reads, or what the part named `encoded` gave ahead of time.
    start: frame of the example where the audio goes in; frames: how many positions it fills.
    labels: what a CTC loss on this recording is to spell, int64 [tokens].
    """

    features: Tensor
    start: int
    frames: int
    encoded: str | None = None
    labels: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.long))


@dataclass
class Example:
    """One sample in the form of one family.

    tokens, labels: int64 [streams, frames]; labels are aligned with the tokens (the model predicts labels[:, t]
    from what comes before t) and IGNORED where there is no loss. seconds: of audio.
    """

    key: str
    tokens: Tensor
    labels: Tensor
    audio: list[AudioInput] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def frames(self) -> int:
        """Positions of the language model."""
        return self.tokens.shape[1]


@dataclass
class Batch:
    """Examples laid end to end.

    tokens, labels: [streams, N]; lengths: frames of each example; audio: every audio input, its `start` counted
    from the beginning of the batch.
    """

    keys: list[str]
    tokens: Tensor
    labels: Tensor
    lengths: list[int]
    audio: list[AudioInput]
    seconds: float

    def to(self, device: torch.device) -> Batch:
        """The same batch with its tensors on a device."""
        return replace(
            self,
            tokens=self.tokens.to(device, non_blocking=True),
            labels=self.labels.to(device, non_blocking=True),
            audio=[
                replace(
                    audio,
                    features=audio.features.to(device, non_blocking=True),
                    labels=audio.labels.to(device, non_blocking=True),
                )
                for audio in self.audio
            ],
        )


def pack(examples: list[Example]) -> Batch:
    """Lay examples end to end; nothing is padded."""
    starts = [0]
    for example in examples:
        starts.append(starts[-1] + example.frames)
    return Batch(
        keys=[example.key for example in examples],
        tokens=torch.cat([example.tokens for example in examples], 1),
        labels=torch.cat([example.labels for example in examples], 1),
        lengths=[example.frames for example in examples],
        audio=[
            replace(audio, start=audio.start + start)
            for example, start in zip(examples, starts, strict=False)
            for audio in example.audio
        ],
        seconds=sum(example.seconds for example in examples),
    )


def muted(batch: Batch) -> Batch:
    """The batch without a single label: it costs a forward pass and adds nothing to loss, gradients or counts."""
    return replace(
        batch,
        labels=torch.full_like(batch.labels, IGNORED),
        audio=[replace(audio, labels=audio.labels[:0]) for audio in batch.audio],
        seconds=0.0,
    )
