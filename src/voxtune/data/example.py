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
    """

    features: Tensor
    start: int
    frames: int
    encoded: str | None = None


@dataclass
class Example:
    """One sample in the form of one family.

    tokens, labels: int64 [streams, frames]; labels are aligned with the tokens (the model predicts labels[:, t]
    from what comes before t) and IGNORED where there is no loss. targets: further label sequences by the name of
    their loss (CTC targets, say). seconds: of audio.
    """

    key: str
    tokens: Tensor
    labels: Tensor
    audio: list[AudioInput] = field(default_factory=list)
    targets: dict[str, Tensor] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def frames(self) -> int:
        """Positions of the language model."""
        return self.tokens.shape[1]


@dataclass
class Batch:
    """Examples laid end to end.

    tokens, labels: [streams, N]; lengths: frames of each example; audio: every audio input with `start` counted
    from the beginning of the batch, `audio_owner` the number of its example; targets: per loss, one tensor (maybe
    empty) an example.
    """

    keys: list[str]
    tokens: Tensor
    labels: Tensor
    lengths: list[int]
    audio: list[AudioInput]
    audio_owner: list[int]
    targets: dict[str, list[Tensor]]
    seconds: float

    def to(self, device: torch.device) -> Batch:
        """The same batch with its tensors on a device."""
        return replace(
            self,
            tokens=self.tokens.to(device, non_blocking=True),
            labels=self.labels.to(device, non_blocking=True),
            audio=[replace(a, features=a.features.to(device, non_blocking=True)) for a in self.audio],
            targets={name: [t.to(device, non_blocking=True) for t in ts] for name, ts in self.targets.items()},
        )


def pack(examples: list[Example]) -> Batch:
    """Lay examples end to end; nothing is padded."""
    starts = [0]
    for example in examples:
        starts.append(starts[-1] + example.frames)
    placed = [
        (number, replace(audio, start=audio.start + starts[number]))
        for number, example in enumerate(examples)
        for audio in example.audio
    ]
    names = sorted({name for example in examples for name in example.targets})
    empty = torch.empty(0, dtype=torch.long)
    return Batch(
        keys=[example.key for example in examples],
        tokens=torch.cat([example.tokens for example in examples], 1),
        labels=torch.cat([example.labels for example in examples], 1),
        lengths=[example.frames for example in examples],
        audio=[audio for _, audio in placed],
        audio_owner=[number for number, _ in placed],
        targets={name: [example.targets.get(name, empty) for example in examples] for name in names},
        seconds=sum(example.seconds for example in examples),
    )
