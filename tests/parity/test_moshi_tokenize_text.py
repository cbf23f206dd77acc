"""Words as running text on frames, against the recorded runs of nu-dialogue's tokenize_text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.parity.conftest import cases
from voxtune.data.sample import Word
from voxtune.families.moshi.running_text import running_text
from voxtune.families.moshi.text import FrameText, TextIds
from voxtune.families.moshi.tokenizer import TextTokenizer

RUNS = [
    pytest.param(folder, name, id=f"{folder.name}-{name}")
    for folder in cases("moshi", "tokenize_text")
    for name in json.loads((folder / "inputs.json").read_text(encoding="utf-8"))
]


def load(folder: Path, name: str) -> tuple[dict[str, Any], dict[str, Any], list[Word], TextTokenizer]:
    """What went in, what came out, and the words and the tokenizer of a run."""
    run = json.loads((folder / "inputs.json").read_text(encoding="utf-8"))[name]
    recorded = json.loads((folder / "outputs.json").read_text(encoding="utf-8"))[name]
    words = [
        Word(speaker=row["speaker"], text=row["word"], start=row["start"], end=row["end"])
        for row in run["word_transcript"]
    ]
    return run["args"], recorded, words, TextTokenizer.load(folder / run["tokenizer"])


def text_of(args: dict[str, Any], words: list[Word], tokenizer: TextTokenizer, frames: int | None = None) -> FrameText:
    return running_text(
        words,
        tokenizer,
        frame_rate=args["audio_tokenizer_frame_rate"],
        whitespace=not args["no_whitespace_before_word"],
        ids=TextIds(args["text_padding_id"], args["end_of_text_padding_id"]),
        frames=frames,
    )


def keeps_lengths(words: list[Word], tokenizer: TextTokenizer) -> bool:
    """Whether each character stays one character, which upstream takes for granted."""
    texts = ["".join(word.text.split()) for word in words]
    spelled = ["".join(piece.text for piece in tokenizer.pieces(text)).lstrip("\u2581") for text in texts]
    return [len(text) for text in texts] == [len(text) for text in spelled]


@pytest.mark.parametrize(("folder", "name"), RUNS)
def test_frames(folder: Path, name: str) -> None:
    args, recorded, words, tokenizer = load(folder, name)
    text = text_of(args, words, tokenizer)
    if (
        "ids" in recorded
        and all(word.start >= 0 and word.end >= 0 for word in words)
        and keeps_lengths(words, tokenizer)
    ):
        assert text.ids.tolist() == recorded["ids"]
        assert text.lost == recorded.get("tokens_dropped", 0)
        return
    # Upstream fails, or shifts or corrupts the text: every token is there once, in order, and nothing else.
    space = "" if args["no_whitespace_before_word"] else " "
    pieces = tokenizer.pieces(space.join(word.text.strip() for word in words))
    blank = (args["text_padding_id"], args["end_of_text_padding_id"])
    expected = [piece.id for number, piece in enumerate(pieces) if number or piece.text != "\u2581"]
    assert [token for token in text.ids.tolist() if token not in blank] == [
        token for token in expected if token not in blank
    ]
    assert text.lost == 0


@pytest.mark.parametrize(("folder", "name"), RUNS)
def test_frames_of_a_recording(folder: Path, name: str) -> None:
    args, _, words, tokenizer = load(folder, name)
    whole = text_of(args, words, tokenizer)
    blank = (args["text_padding_id"], args["end_of_text_padding_id"])
    for frames in (0, len(whole.ids) // 2, len(whole.ids) + 7):
        fitted = text_of(args, words, tokenizer, frames)
        kept = whole.ids[:frames].tolist()
        assert fitted.ids.tolist() == kept + [args["text_padding_id"]] * (frames - len(kept))
        cut = sum(token not in blank for token in whole.ids[frames:].tolist())
        assert fitted.lost - whole.lost >= cut
