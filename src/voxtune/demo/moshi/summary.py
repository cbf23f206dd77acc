"""The numbers of the demo."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from voxtune.demo.moshi.turns import TurnTaking
from voxtune.files import write_json


@dataclass(frozen=True)
class Summary:
    """What the demo reached, on dialogues that no training has seen.

    loss_before, loss_after: of each stream, a label, with both speakers as the one that the model plays. right_answers
    of `prompts` continuations. turn_taking: of what really follows the prompts, and of what the model lets follow.
    exported_frames: of one continuation, and how many of them the exported folder gives token for token; B's sound is
    given to it. seconds: the whole demo; training_seconds is a part of it.
    """

    loss_before: dict[str, float]
    loss_after: dict[str, float]
    prompts: int
    right_answers: int
    turn_taking: dict[str, TurnTaking]
    exported_frames: int
    exported_frames_equal: int
    steps: int
    training_seconds: float
    seconds: float
    losses: list[str]

    def write(self, path: Path) -> None:
        """Write the numbers as JSON."""
        write_json(path, asdict(self))
