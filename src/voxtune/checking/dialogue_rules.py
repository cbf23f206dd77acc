"""What is wrong with a two-speaker dialogue: its two channels, the times of its words, its tokens."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from voxtune.checking.corpus_rules import MOST_LETTERS, letters
from voxtune.checking.recording_rules import is_silent, recording_rules, unreadable
from voxtune.checking.recordings import Recording
from voxtune.checking.report import Rule, Severity
from voxtune.data.audio import probe
from voxtune.data.encoded import TEXT_PADDING, read_encoded, text_beyond_codes
from voxtune.data.sample import SPEAKERS, Dialogue, Sample, Word
from voxtune.errors import DataError

FRAME_SECONDS = 0.08
FEWEST_FOR_RATE = 20
"""Letters of a speaker from which on their number a second says something."""
STEREO = "a dialogue needs two channels, left A and right B, or a file for each speaker"


@dataclass(frozen=True)
class TokenFile:
    """What was found in a dialogue's tokens.

    content: the same for the same tokens; unread, for the same place. cut: text tokens of A and of B after the last
    code. textless: speakers whose text is all padding.
    """

    content: str
    cut: tuple[int, int] = (0, 0)
    textless: tuple[str, ...] = ()


def tokens_of(sample: Sample, *, quick: bool) -> TokenFile | DataError | None:
    """What the tokens of an encoded dialogue hold, None for other samples. quick: they are not read."""
    encoded = sample.dialogue.encoded if sample.dialogue else None
    if encoded is None:
        return None
    if quick:
        return TokenFile(repr((encoded.path, encoded.row)))
    try:
        both = read_encoded(encoded)
        cut = text_beyond_codes(encoded)
    except DataError as error:
        return error
    content = hashlib.blake2b(digest_size=16)
    for tokens in both:
        content.update(tokens.numpy().tobytes())
    textless = [name for name, tokens in zip(SPEAKERS, both, strict=True) if bool((tokens[0] == TEXT_PADDING).all())]
    return TokenFile(content.hexdigest(), cut, tuple(textless))


def wordless_speakers(sample: Sample, tokens: TokenFile | None) -> tuple[str, ...]:
    """The speakers of a dialogue without any words."""
    if sample.dialogue is None:
        return ()
    if tokens is not None:
        return tokens.textless
    spoken = {word.speaker for word in sample.dialogue.words if word.text.strip()}
    return tuple(speaker for speaker in SPEAKERS if speaker not in spoken)


def dialogue_rules(
    sample: Sample,
    dialogue: Dialogue,
    recordings: Sequence[Recording | DataError],
    tokens: TokenFile | DataError | None,
) -> Iterator[Rule]:
    """All rules for one dialogue; `recordings` are those of A and of B, none of an encoded one."""
    if isinstance(tokens, DataError):
        yield "encoded", str(tokens), "error"
    elif tokens is not None and dialogue.encoded is not None:
        for speaker, cut in zip(SPEAKERS, tokens.cut, strict=True):
            if cut:
                frames = dialogue.encoded.frames
                message = f"{cut} text tokens of {speaker} come after the last of {frames} frames of codes and are cut"
                yield "encoded", message, "warning"
    readable = [recording for recording in recordings if isinstance(recording, Recording)]
    if len(readable) < len(recordings):
        yield from _unreadable_rules(sample, dialogue, recordings)
    elif readable:
        yield from _channel_rules(dialogue, readable)
    end = dialogue.encoded.seconds if dialogue.encoded else min((r.seconds for r in readable), default=math.inf)
    for speaker in SPEAKERS:
        yield from _word_rules(speaker, [word for word in dialogue.words if word.speaker == speaker], end)


def _unreadable_rules(
    sample: Sample, dialogue: Dialogue, recordings: Sequence[Recording | DataError]
) -> Iterator[Rule]:
    if len(dialogue.audio) == 1 and _channels(dialogue) == 1:
        yield "audio", f"{dialogue.audio[0].path}: one channel; {STEREO}", "error"
        return
    errors = [
        unreadable(sample, part, recording)
        for part, recording in zip(dialogue.speakers, recordings, strict=True)
        if isinstance(recording, DataError)
    ]
    for message in dict.fromkeys(errors):
        yield "audio", message, "error"


def _channel_rules(dialogue: Dialogue, recordings: Sequence[Recording]) -> Iterator[Rule]:
    """Rules for two recordings that can be read."""
    a, b = recordings
    if len(dialogue.audio) == 1 and _channels(dialogue) > 2:
        yield (
            "audio",
            f"{dialogue.audio[0].path}: {_channels(dialogue)} channels, only the first two are heard",
            "warning",
        )
    for part, speaker, recording in zip(dialogue.speakers, SPEAKERS, recordings, strict=True):
        speaks = any(word.speaker == speaker for word in dialogue.words)
        yield from recording_rules(f"{part.path}: speaker {speaker}", recording, "error" if speaks else "warning")
    if abs(a.seconds - b.seconds) > FRAME_SECONDS:
        yield (
            "audio",
            f"A lasts {a.seconds:.2f} s and B {b.seconds:.2f} s; they are heard at once, cut or fill one",
            "error",
        )
    if a.content == b.content and not (a.signal and is_silent(a.signal)):
        yield "audio", f"{dialogue.audio[0].path}: A and B are the same sound; {STEREO}", "error"


def _channels(dialogue: Dialogue) -> int:
    """Of the one file of a dialogue; 0 when it cannot be read."""
    try:
        return probe(dialogue.audio[0].model_copy(update={"channel": None})).channels
    except DataError:
        return 0


def _word_rules(speaker: str, words: Sequence[Word], last: float) -> Iterator[Rule]:
    """Rules for the words of one speaker. last: where the recording ends, infinite if it cannot be read."""
    ordered = sorted(words, key=lambda word: word.start)
    found: list[tuple[list[Word], str, Severity]] = [
        ([w for w in words if w.start < 0], "begin before 0 s; correct their times", "error"),
        ([w for w in words if w.end < w.start], "end before they begin; correct their times", "error"),
        ([w for w in words if w.start >= last],
         f"begin after the end of the recording at {last:.2f} s; do words and recording belong together?", "error"),
        ([w for w in words if w.start < last < w.end - FRAME_SECONDS],
         f"end after the end of the recording at {last:.2f} s", "warning"),
        ([w for w in words if w.end == w.start], "have no length", "warning"),
        ([w for w in words if not w.text.strip()], "are empty", "warning"),
        ([w for w, after in pairwise(ordered) if after.start < w.end - FRAME_SECONDS],
         "go on while the next one begins", "warning"),
        ([w for w, after in pairwise(words) if after.start < w.start],
         "come before one that begins earlier; they are sorted by their start", "warning"),
    ]  # fmt: skip
    for bad, what, severity in found:
        if bad:
            first = f"the first: {bad[0].text!r} at {bad[0].start:.2f} s"
            yield "words", f"{len(bad)} of {len(words)} words of {speaker} ({first}) {what}", severity
    spoken = sum(max(0.0, word.end - word.start) for word in words)
    number = sum(letters(word.text) for word in words)
    if number >= FEWEST_FOR_RATE and number > MOST_LETTERS * spoken > 0:
        rate = f"{number / spoken:.1f} letters a second of speech"
        yield "words", f"{rate} of {speaker} is faster than anyone speaks; are the times right?", "warning"
