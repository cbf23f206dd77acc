"""Words each for itself: a word's tokens follow its start, and a new word takes the place of an unfinished one."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter
from typing import Literal

import torch

from voxtune.data.sample import Word
from voxtune.families.moshi.text import FrameText, TextIds
from voxtune.families.moshi.tokenizer import TextTokenizer


@dataclass(frozen=True)
class Interleaving:
    """Whose words, and what becomes of them.

    keep_main_only: the words of the main speaker alone. keep_and_shift: a new word waits for the one before it, which
    else loses its unwritten tokens. use_bos_eos: where both speak, a token before the first word after the speaker
    changed. in_word_padding: id of padding up to the end of a word, None = that of padding. audio_delay: seconds that
    the text is ahead of the audio; below 0 it is behind, and begins with frames that hold `zero_padding` (no token).
    """

    keep_main_only: bool = True
    keep_and_shift: bool = False
    use_bos_eos: bool = False
    in_word_padding: int | None = None
    audio_delay: float = 0.0
    zero_padding: int = -1


def interleaved_text(
    words: Sequence[Word] | None,
    tokenizer: TextTokenizer,
    *,
    main: Literal["A", "B"],
    frame_rate: float,
    frames: int,
    ids: TextIds,
    rule: Interleaving = Interleaving(),
) -> FrameText:
    """The words of a recording, or of a piece of one, on its frames; None = what is said is not known, no token at all.

    Words that last no time are lost, as are the tokens behind the end of the recording.
    Raises CheckpointError when the tokenizer lacks a token for `use_bos_eos`.
    Source: kyutai-labs/moshi-finetune, finetune/data/interleaver.py, Interleaver.prepare_item.
    """
    if words is None:
        return FrameText(torch.full((frames,), rule.zero_padding, dtype=torch.int64), lost=0, unknown=0)
    in_word = ids.padding if rule.in_word_padding is None else rule.in_word_padding
    spoken = [
        word for word in sorted(words, key=attrgetter("start")) if word.speaker == main or not rule.keep_main_only
    ]
    changes = rule.use_bos_eos and not rule.keep_main_only
    spelled = _tokens(spoken, tokenizer, main=main, changes=changes)
    waiting = deque(zip(spoken, spelled, strict=True))
    behind = min(frames, max(0, int(frame_rate * -rule.audio_delay)))
    pending: deque[int] = deque()
    row: list[int] = []
    lost = 0
    last = -1
    for frame in range(frames):
        while waiting and (waiting[0][0].start - rule.audio_delay) * frame_rate < frame + 1:
            word, tokens = waiting.popleft()
            if word.end <= word.start or (rule.audio_delay and word.end <= rule.audio_delay):
                lost += len(tokens)
                continue
            if not rule.keep_and_shift:
                lost += len(pending)
                pending.clear()
            pending.extend(tokens)
            last = int((word.end - rule.audio_delay) * frame_rate)
        if pending:
            if row and row[-1] in (ids.padding, in_word):
                row[-1] = ids.end_of_padding
            row.append(pending.popleft())
            lost += frame < behind
        else:
            row.append(in_word if frame <= last else ids.padding)
    row[:behind] = [rule.zero_padding] * behind
    lost += len(pending) + sum(len(tokens) for _, tokens in waiting)
    unknown = sum(tokens.count(tokenizer.unknown_id) for tokens in spelled)
    return FrameText(torch.tensor(row, dtype=torch.int64), lost, unknown)


def words_from(words: Iterable[Word], start: float, seconds: float) -> list[Word]:
    """The words that begin in a piece of a recording, with times from the start of the piece."""
    inside = (word for word in words if start <= word.start < start + seconds)
    return [word.model_copy(update={"start": word.start - start, "end": word.end - start}) for word in inside]


def _tokens(words: Sequence[Word], tokenizer: TextTokenizer, *, main: str, changes: bool) -> list[list[int]]:
    """The tokens of each word. The lines of a word are tokenised one by one, as each begins with a space of its own."""
    lines = [word.text.strip().split("\n") for word in words]
    newline = tokenizer.encode(["\n"])[0][-1:]
    encoded = iter(tokenizer.encode(list(chain.from_iterable(lines))))
    tokens: list[list[int]] = []
    before: str | None = None
    for word, parts in zip(words, lines, strict=True):
        joined = next(encoded)
        for _ in parts[1:]:
            joined = [*joined, *newline, *next(encoded)]
        if changes and word.speaker == main and before != main:
            joined = [tokenizer.bos_id, *joined]
        elif changes and word.speaker != main and before == main:
            joined = [tokenizer.eos_id, *joined]
        before = word.speaker
        tokens.append(joined)
    return tokens
