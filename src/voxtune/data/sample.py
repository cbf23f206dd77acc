"""What was said, independent of any model: the one form that every data layout reads into."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, model_validator

NO_NUL = r"^[^\x00]+$"
"""What a file name can be."""
SPEAKERS: tuple[Literal["A"], Literal["B"]] = ("A", "B")
"""Of a dialogue: left and right in a stereo file."""


@dataclass(frozen=True)
class Origin:
    """The file and line that a sample was read from, for error messages."""

    file: Path
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class Strict(BaseModel):
    """Unknown keys are errors."""

    model_config = ConfigDict(extra="forbid")


class TextPart(Strict):
    """Written words inside a turn."""

    kind: Literal["text"] = "text"
    text: str
    trained: bool = Field(True, description="false: words of the assistant that are only context")


class AudioPart(Strict):
    """Recorded sound inside a turn: a file, or a stretch of it, or one of its channels."""

    kind: Literal["audio"] = "audio"
    path: str = Field(min_length=1, pattern=NO_NUL, description="local path (relative to the manifest) or http(s) URL")
    start: float = Field(0.0, ge=0, allow_inf_nan=False, description="seconds into the file")
    duration: float | None = Field(None, gt=0, allow_inf_nan=False, description="seconds; None = to the end")
    channel: int | None = Field(None, ge=0, description="None = the mean of all channels")


Part = Annotated[TextPart | AudioPart, Field(discriminator="kind")]


class Turn(Strict):
    """One contribution to a conversation."""

    role: Literal["system", "user", "assistant"]
    parts: list[Part]

    @property
    def text(self) -> str:
        """The written parts, joined."""
        return "".join(part.text for part in self.parts if isinstance(part, TextPart))

    @property
    def audio(self) -> list[AudioPart]:
        """The recorded parts."""
        return [part for part in self.parts if isinstance(part, AudioPart)]


class Word(Strict):
    """A word of a two-speaker dialogue with its time in seconds."""

    speaker: Literal["A", "B"]
    text: str
    start: float = Field(allow_inf_nan=False)
    end: float = Field(allow_inf_nan=False)


class Encoded(Strict):
    """A dialogue as frames of tokens, made ahead by somebody: text and codes of both speakers, in files.

    A parquet row holds both; else one npz file holds the codes and another one the text.
    """

    path: str = Field(min_length=1, pattern=NO_NUL, description="parquet file with text and codes, or npz with codes")
    row: int = Field(0, ge=0, description="row of the parquet file")
    text: str | None = Field(None, pattern=NO_NUL, description="npz file with the text, where `path` is an npz file")
    frames: int = Field(gt=0, description="of the codes")
    seconds: float = Field(gt=0, allow_inf_nan=False)


class Dialogue(Strict):
    """Two speakers at once: a stereo file (left A, right B), one file each, or their tokens; and their words."""

    audio: list[AudioPart] = Field([], max_length=2)
    encoded: Encoded | None = None
    words: list[Word] = []
    main: Literal["A", "B"] = Field("A", description="the speaker that a model plays")
    piece: tuple[int, int] = Field((0, 1), description="(number, count): which of so many equal pieces of it")

    @model_validator(mode="after")
    def _audio_or_encoded(self) -> Dialogue:
        if bool(self.audio) == (self.encoded is not None):
            raise ValueError("a dialogue has either 'audio' or 'encoded'")
        number, count = self.piece
        if not 0 <= number < count:
            raise ValueError("the number of a piece counts from 0 and is less than their count")
        return self

    @property
    def speakers(self) -> list[AudioPart]:
        """The recordings of A and of B, none of an encoded dialogue."""
        if len(self.audio) == 1:
            return [self.audio[0].model_copy(update={"channel": channel}) for channel in (0, 1)]
        return self.audio


class Sample(Strict):
    """A conversation of turns, or a two-speaker dialogue, with what is known about it."""

    key: str = Field(min_length=1)
    turns: list[Turn] = []
    dialogue: Dialogue | None = None
    task: str | None = Field(None, description="the family words the request of this task; None = the turns hold it")
    language: str | None = Field(None, description="language of the answer, as the family's prompts name it")
    text_normalization: bool = Field(True, description="false: the answer has no digits and no punctuation")
    hotwords: list[str] = []
    first_pass: str | None = Field(None, description="transcript of an earlier recogniser, given as context")
    history: str | None = Field(None, description="what was said before, given as context")

    _origin: Origin | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _turns_or_dialogue(self) -> Sample:
        if bool(self.turns) == (self.dialogue is not None):
            raise ValueError("a sample has either 'turns' or a 'dialogue'")
        return self

    @property
    def origin(self) -> str:
        """Where the sample was read, for messages: `file:line`, or its key."""
        return str(self._origin) if self._origin else f"sample {self.key!r}"

    @property
    def place(self) -> Origin | None:
        """The file and line that the sample was read from, None when it was made in memory."""
        return self._origin

    def at(self, file: Path, line: int) -> Sample:
        """Remember the file and line that the sample was read from; returns itself."""
        self._origin = Origin(file, line)
        return self

    @property
    def audio(self) -> list[AudioPart]:
        """All recordings in order of appearance; of a dialogue that of A, then that of B."""
        if self.dialogue is not None:
            return self.dialogue.speakers
        return [part for turn in self.turns for part in turn.audio]

    def duration(self, seconds: Sequence[float]) -> float:
        """How long the sample lasts, given the lengths of its recordings: turns follow one another, the speakers of
        a dialogue are heard at once."""
        if self.dialogue is None:
            return sum(seconds)
        return self.dialogue.encoded.seconds if self.dialogue.encoded else max(seconds)

    def question(self) -> Sample:
        """What generation starts from: of the last assistant turn only the words that open it untrained are left."""
        if not self.turns or self.turns[-1].role != "assistant":
            return self
        parts = self.turns[-1].parts
        opening = list(takewhile(lambda part: isinstance(part, TextPart) and not part.trained, parts))
        answer = [Turn(role="assistant", parts=opening)] if opening else []
        return self.model_copy(update={"turns": self.turns[:-1] + answer})

    @property
    def answer(self) -> str:
        """The text of the last assistant turn, '' when there is none."""
        return next((turn.text for turn in reversed(self.turns) if turn.role == "assistant"), "")


def transcription(key: str, audio: AudioPart, text: str | None = None) -> Sample:
    """A sample of speech recognition: the recording, and its transcript where it is known."""
    turns = [Turn(role="user", parts=[audio])]
    if text is not None:
        turns.append(Turn(role="assistant", parts=[TextPart(text=text)]))
    return Sample(key=key, turns=turns, task="asr")
