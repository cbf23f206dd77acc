"""A speaker's text on the frames of the codec: one token a frame, padding where nothing is said."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from voxtune.families.moshi.tokenizer import METASPACE, TextTokenizer


@dataclass(frozen=True)
class TextIds:
    """The ids of frames without text: padding, and the end of padding on the frame before a word."""

    padding: int = 3
    end_of_padding: int = 0


@dataclass(frozen=True)
class FrameText:
    """ids: `[frames]` int64.

    lost: how many tokens of the words found no frame; unknown: how many of them stand for characters that the tokenizer
    does not know.
    """

    ids: torch.Tensor
    lost: int
    unknown: int


def words_on_frames(
    row: torch.Tensor, tokenizer: TextTokenizer, *, frame_rate: float, whitespace: bool, ids: TextIds
) -> list[tuple[str, float, float]]:
    """The way back: (word, start, end) in seconds from a row of ids `[frames]`.

    whitespace: a word begins at a piece that begins with a space; else (Japanese, Chinese) at the first token after
    padding, so that a word is what was said without a pause. Ids that text cannot become are frames without text.
    """
    words: list[list[tuple[int, int]]] = []
    paused = True
    for frame, token in enumerate(row.tolist()):
        if token in (ids.padding, ids.end_of_padding) or not tokenizer.is_text(token):
            paused = True
            continue
        if not words or (tokenizer.piece(token).startswith(METASPACE) if whitespace else paused):
            words.append([])
        words[-1].append((frame, token))
        paused = False
    timed = ((tokenizer.text(token for _, token in word).strip(), word[0][0], word[-1][0]) for word in words)
    return [(text, first / frame_rate, (last + 1) / frame_rate) for text, first, last in timed if text]
