"""Interleaved words, and the rows of a segment, against the recorded runs of kyutai's interleaver."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.parity.conftest import cases
from voxtune.data.sample import Word
from voxtune.families.moshi.interleaved_text import Interleaving, interleaved_text, words_from
from voxtune.families.moshi.text import TextIds
from voxtune.families.moshi.tokenizer import TextTokenizer

CASES = cases("moshi", "kyutai_interleaver")
VARIANTS = [
    pytest.param(folder, name, id=f"{folder.name}-{name}")
    for folder in CASES
    for name in json.loads((folder / "inputs.json").read_text(encoding="utf-8"))["variants"]
]


def read(folder: Path, name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / name).read_text(encoding="utf-8"))
    return content


def words_of(alignments: list[list[Any]]) -> list[Word]:
    """The main speaker is A."""
    return [
        Word(speaker="A" if speaker == "SPEAKER_MAIN" else "B", text=text, start=start, end=end)
        for text, (start, end), speaker in alignments
    ]


def text_row(folder: Path, words: list[Word] | None, args: dict[str, Any], seconds: float) -> list[int]:
    """The text of a recording of so many seconds, under upstream's arguments."""
    args = dict(args)
    frame_rate = args.pop("audio_frame_rate")
    ids = TextIds(args.pop("text_padding"), args.pop("end_of_text_padding"))
    text = interleaved_text(
        words,
        TextTokenizer.load(folder / "spm.model"),
        main="A",
        frame_rate=frame_rate,
        frames=math.ceil(seconds * frame_rate),
        ids=ids,
        rule=Interleaving(**{"keep_main_only": False} | args),
    )
    row: list[int] = text.ids.tolist()
    return row


@pytest.mark.parametrize(("folder", "name"), VARIANTS)
def test_variant(folder: Path, name: str) -> None:
    inputs, recorded = read(folder, "inputs.json"), read(folder, "outputs.json")
    args = inputs["base_args"] | inputs["variants"][name]
    assert text_row(folder, words_of(inputs["alignments"]), args, inputs["segment_duration"]) == recorded[name]


@pytest.mark.parametrize("folder", CASES, ids=lambda folder: folder.name)
def test_nothing_known(folder: Path) -> None:
    inputs, recorded = read(folder, "inputs.json"), read(folder, "outputs.json")
    assert text_row(folder, None, inputs["base_args"], inputs["segment_duration"]) == recorded["no_alignments"]


@pytest.mark.parametrize("folder", CASES, ids=lambda folder: folder.name)
def test_segments(folder: Path) -> None:
    inputs, recorded = read(folder, "inputs.json"), read(folder, "outputs.json")
    words, args, seconds = words_of(inputs["alignments"]), inputs["base_args"], inputs["duration_sec"]
    frames = math.ceil(seconds * args["audio_frame_rate"])
    codes = load_file(folder / "inputs.safetensors")
    segments = [name for name in recorded if name.startswith("segment_")]
    assert segments
    for name in segments:
        start = recorded[name]["start_sec"]
        both = codes[f"mimi_codes_{name.removeprefix('segment_')}"][:, :, :frames]
        # Upstream takes the frames of a short last segment for seconds: its text goes on behind the audio.
        row = text_row(folder, words_from(words, start, seconds), args, both.shape[-1])[:frames]
        expected = torch.tensor(recorded[name]["codes"])
        built = torch.full_like(expected, args["zero_padding"])
        assert built.shape[-1] == frames
        built[0, : len(row)] = torch.tensor(row)
        built[1:, : both.shape[-1]] = both.flatten(0, 1)
        torch.testing.assert_close(built, expected, rtol=0, atol=0)
