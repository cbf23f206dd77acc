"""Transcripts as text, JSON or subtitles."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any

from voxtune.families.family import TimedToken
from voxtune.transcription.transcribe import Segment, Transcript

CUE_SECONDS = 6.0
CUE_WIDTH = 42
"""Columns of a cue; a Chinese character takes two."""

CUE_PAUSE_SECONDS = 0.8
SENTENCE_ENDS = tuple(".!?。！？")


def as_text(transcripts: Sequence[Transcript]) -> str:
    """One line each: the key, a tab, the text."""
    return "".join(f"{item.key}\t{item.text}\n" for item in transcripts)


def as_json(transcripts: Sequence[Transcript]) -> str:
    """A list of objects: key, text, complete, segments and, where the model gave them, timestamps; times in seconds.

    complete: false where `max_new_tokens` cut the text off.
    """
    return json.dumps([_object(item) for item in transcripts], ensure_ascii=False, indent=2) + "\n"


def as_srt(transcript: Transcript) -> str:
    """Subtitles: cues from the times of single pieces of text where there are any, else a cue each segment."""
    cues = list(_cues(transcript.timestamps)) if transcript.timestamps else transcript.segments
    blocks = [
        f"{number}\n{_clock(cue.start)} --> {_clock(cue.end)}\n{cue.text}\n"
        for number, cue in enumerate((cue for cue in cues if cue.text), 1)
    ]
    return "\n".join(blocks)


def _object(item: Transcript) -> dict[str, Any]:
    segments = [{"start": _ms(s.start), "end": _ms(s.end), "text": s.text} for s in item.segments]
    times = [
        {"text": t.text, "start": _ms(t.start), "end": _ms(t.end), "score": round(t.score, 3)} for t in item.timestamps
    ]
    found = {"key": item.key, "text": item.text, "complete": item.complete, "segments": segments}
    return {**found, **({"timestamps": times} if times else {})}


def _cues(tokens: Sequence[TimedToken]) -> Iterator[Segment]:
    cue: list[TimedToken] = []
    for token in tokens:
        if cue and _begins_word(token.text) and _full(cue, token):
            yield _cue(cue)
            cue = []
        cue.append(token)
    if cue:
        yield _cue(cue)


def _full(cue: list[TimedToken], following: TimedToken) -> bool:
    text = "".join(token.text for token in cue)
    return (
        text.rstrip().endswith(SENTENCE_ENDS)
        or following.start - cue[-1].end >= CUE_PAUSE_SECONDS
        or following.end - cue[0].start > CUE_SECONDS
        or _columns(text + following.text) > CUE_WIDTH
    )


def _cue(tokens: list[TimedToken]) -> Segment:
    return Segment(tokens[0].start, tokens[-1].end, "".join(token.text for token in tokens).strip())


def _begins_word(text: str) -> bool:
    return text[0].isspace() or (unicodedata.east_asian_width(text[0]) in "WF" and text[0].isalnum())


def _columns(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def _ms(seconds: float) -> float:
    return round(seconds, 3)


def _clock(seconds: float) -> str:
    milliseconds = round(seconds * 1000)
    hours, rest = divmod(milliseconds, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    return f"{hours:02}:{minutes:02}:{rest // 1000:02},{rest % 1000:03}"
