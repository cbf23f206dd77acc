"""Words as one running text: the characters share the times of their words, and no word is cut off by the next one."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

import torch

from voxtune.data.sample import Word
from voxtune.families.moshi.text import FrameText, TextIds
from voxtune.families.moshi.tokenizer import METASPACE, TextTokenizer

SECONDS_AFTER = 1.0
"""Frames behind the last character, for tokens that have to wait."""


def running_text(
    words: Sequence[Word],
    tokenizer: TextTokenizer,
    *,
    frame_rate: float,
    whitespace: bool,
    ids: TextIds,
    frames: int | None = None,
) -> FrameText:
    """One speaker's words tokenised together, each token on the first free frame from the start of its characters.

    whitespace: words are stripped and a space is put before each but the first; else (Japanese, Chinese) they are used
    as they are. frames: the length of the audio, to which the text is cut or padded; None = as long as the text needs.
    A token that became text must not have the id of padding, else the next one may take its frame.
    Source: nu-dialogue/moshi-finetune, tools/tokenize_text.py, tokenize_and_pad_text.
    """
    text, starts, ends = _characters(sorted(words, key=attrgetter("start")), whitespace=whitespace)
    pieces = tokenizer.pieces(text)
    room = max(0, int((ends[pieces[-1].end - 1] + SECONDS_AFTER) * frame_rate)) if pieces else 0
    if pieces and pieces[0].text == METASPACE:
        del pieces[0]
    frames = room if frames is None else frames
    row: dict[int, int] = {}
    later: dict[int, int] = {}
    lost = 0
    for number, piece in enumerate(pieces):
        # Floats are divided as upstream does: a multiple of a frame's length may land one frame early.
        frame = _free(later, max(0, int(starts[piece.begin] // (1 / frame_rate))))
        if frame >= room:
            lost += len(pieces) - number
            break
        lost += frame >= frames
        marked = [(frame, piece.id)]
        if frame > 0 and row.get(frame - 1, ids.padding) == ids.padding:
            marked.append((frame - 1, ids.end_of_padding))
        row.update(marked)
        later.update((place, place + 1) for place, token in marked if token != ids.padding)
    written = [row.get(frame, ids.padding) for frame in range(frames)]
    unknown = sum(piece.id == tokenizer.unknown_id for piece in pieces)
    return FrameText(torch.tensor(written, dtype=torch.int64), lost, unknown)


def _characters(words: Sequence[Word], *, whitespace: bool) -> tuple[str, list[float], list[float]]:
    """The running text and when each of its characters starts and ends; one start more, for pieces behind the last."""
    texts: list[str] = []
    starts: list[float] = []
    ends: list[float] = []
    for word in words:
        text = word.text.strip() if whitespace else word.text
        if not text:
            continue
        if whitespace and texts:
            text = " " + text
        share = (word.end - word.start) / len(text)
        texts.append(text)
        starts.extend(word.start + share * number for number in range(len(text)))
        ends.extend(word.start + share * (number + 1) for number in range(len(text)))
    return "".join(texts), starts + ends[-1:], ends


def _free(later: dict[int, int], frame: int) -> int:
    """The first frame from `frame` on that nothing was written on; `later` leads from a taken frame to a later one."""
    passed = []
    while frame in later:
        passed.append(frame)
        frame = later[frame]
    later.update((place, frame) for place in passed)
    return frame
