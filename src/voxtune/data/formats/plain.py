"""What the plain layouts share: a recording and its transcript, a few optional fields, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from voxtune.data.formats.fun_asr_requests import SYSTEM, is_plain_request
from voxtune.data.sample import AudioPart, Sample, TextPart, transcription
from voxtune.errors import DataError

MISLEADING = ("end", "offset", "stop")
"""Columns of other tools that say something about the recording that ours say differently."""


def split_words(value: Any) -> Any:
    """Hot words as a list; a string is split on ", " as Fun-ASR does."""
    return [word for word in value.split(", ") if word] if isinstance(value, str) else value


HotWords = Annotated[list[str], BeforeValidator(split_words)]


class PlainFields(BaseModel):
    """A line of a plain layout."""

    model_config = ConfigDict(extra="allow")

    audio: str = Field(min_length=1)
    text: str | None = None
    key: str | None = Field(None, min_length=1, coerce_numbers_to_str=True)
    language: str | None = None
    text_normalization: bool = True
    hotwords: HotWords = []
    start: float = 0.0
    duration: float | None = None
    channel: int | None = None

    def sample(self, default_key: str, path: str) -> Sample:
        """The sample; `path` is where the recording lies."""
        part = AudioPart(path=path, start=self.start, duration=self.duration, channel=self.channel)
        sample = transcription(self.key or default_key, part, self.text)
        if self.model_fields_set & CONTEXT_FIELDS:
            sample.language = self.language
            sample.text_normalization = self.text_normalization
            sample.hotwords = self.hotwords
        return sample


PLAIN_FIELDS = tuple(PlainFields.model_fields)
CONTEXT_FIELDS = frozenset(("language", "text_normalization", "hotwords"))
REQUIRED = ("audio", "text")
DEFAULTS = PlainFields(audio="-").model_dump(exclude={"audio"})


def plain_recording(sample: Sample) -> tuple[AudioPart, str]:
    """The recording and the transcript of a sample that is nothing more than these.

    Raises DataError saying what a plain layout cannot hold.
    """
    if sample.dialogue is not None:
        raise DataError("a two-speaker dialogue cannot be written in this layout; write voxtune_jsonl")
    turns = [turn for turn in sample.turns if turn.role != "system" or turn.text != SYSTEM]
    if [turn.role for turn in turns] != ["user", "assistant"] or len(turns[0].audio) != 1 or turns[1].audio:
        raise DataError("only one recording with one transcript can be written in this layout; write voxtune_jsonl")
    if not is_plain_request(turns[0].text):
        raise DataError(f"the request {turns[0].text!r} cannot be written in this layout; write voxtune_jsonl")
    if any(isinstance(part, TextPart) and not part.trained for part in turns[1].parts):
        raise DataError("an untrained part of the answer cannot be written in this layout; write voxtune_jsonl")
    if sample.first_pass or sample.history:
        raise DataError("first_pass and history cannot be written in this layout; write voxtune_jsonl")
    return turns[0].audio[0], turns[1].text


def plain_values(sample: Sample) -> dict[str, Any]:
    """A sample as the fields of a plain layout, those with their default left out. Raises DataError."""
    part, text = plain_recording(sample)
    values = {
        "key": sample.key, "audio": part.path, "text": text, "language": sample.language,
        "text_normalization": sample.text_normalization, "hotwords": sample.hotwords,
        "start": part.start, "duration": part.duration, "channel": part.channel,
    }  # fmt: skip
    return {name: value for name, value in values.items() if name in REQUIRED or value != DEFAULTS[name]}


def json_keys(head: str) -> set[str]:
    """The keys of a JSON object, empty when the text is none."""
    try:
        value = json.loads(head)
    except (ValueError, RecursionError):
        return set()
    return set(value) if isinstance(value, dict) else set()


def default_key(file: Path, line: int) -> str:
    """The key of a line that has none: it leads back to the line."""
    return f"{file.stem}-{line}"
