"""What is wrong with a sample on its own."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence

from voxtune.checking.dialogue_rules import TokenFile, dialogue_rules
from voxtune.checking.recording_rules import recording_rules, unreadable
from voxtune.checking.recordings import Recording
from voxtune.checking.report import Rule
from voxtune.data.sample import Sample
from voxtune.errors import DataError
from voxtune.families.family import Layout


def sample_rules(
    sample: Sample,
    recordings: Sequence[Recording | DataError],
    tokens: TokenFile | DataError | None,
    layout: Layout | None,
) -> Iterator[Rule]:
    """All rules for one sample; `recordings` are its own in order, `tokens` those of an encoded dialogue."""
    yield from _text_rules(sample)
    if sample.task == "asr" and not sample.audio:
        yield "audio", "no recording to transcribe; add one", "error"
    if sample.dialogue is not None:
        yield from dialogue_rules(sample, sample.dialogue, recordings, tokens)
    else:
        for part, recording in zip(sample.audio, recordings, strict=True):
            if isinstance(recording, DataError):
                yield "audio", unreadable(sample, part, recording), "error"
            else:
                yield from recording_rules(part.path, recording)
    seconds = [recording.seconds for recording in recordings if isinstance(recording, Recording)]
    if layout is None:
        if sample.dialogue is None and not any(t.text.strip() for t in sample.turns if t.role == "assistant"):
            yield "text", "no text to learn: the answer is empty; add it or leave the sample out", "error"
    elif len(seconds) == len(recordings) and not isinstance(tokens, DataError):
        problems = layout.problems(sample, seconds)
        for problem in problems:
            yield "sample", problem, "error"
        for remark in [] if problems else layout.warnings(sample, seconds):
            yield "sample", remark, "warning"


def _text_rules(sample: Sample) -> Iterator[Rule]:
    texts = [turn.text for turn in sample.turns]
    if sample.dialogue is not None:
        texts += [word.text for word in sample.dialogue.words]
    for text in texts:
        strange = sorted({character for character in set(text) if _is_strange(character)})
        if strange:
            names = ", ".join(f"U+{ord(character):04X}" for character in strange)
            yield "text", f"{names} in {text[:40]!r}: a sign of a wrong encoding; correct it", "warning"


def _is_strange(character: str) -> bool:
    return character == "\ufffd" or (unicodedata.category(character) in ("Cc", "Co", "Cn") and character not in "\n\t")
