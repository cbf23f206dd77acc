"""Continued dialogues as files: sound, tokens, and what is said."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from torch import Tensor

from voxtune.data.sample import Sample
from voxtune.errors import DataError
from voxtune.families.family import Continuation, DialogueSettings
from voxtune.files import atomic_write

SOUND, TOKENS, WORDS = ".wav", ".npy", ".json"
ABOUT = "about"


def refuse_existing(folder: Path, names: list[str], endings: tuple[str, ...]) -> None:
    """Raise DataError when a file that would be written is there already."""
    for name in names:
        for ending in endings:
            if (file := folder / f"{name}{ending}").exists():
                raise DataError(f"{file}: is there already; give another folder, or remove it")


def write_continuation(
    folder: Path, name: str, sample: Sample, found: Continuation, settings: DialogueSettings, sample_rate: int
) -> None:
    """Write NAME.wav, NAME.npy, NAME.json and about/NAME.json, all or none.

    NAME.wav: the prompt and what follows, 16 bits, left the one that the model plays. NAME.json: the words of both, as
    in nu-dialogue's folders of dialogues, so that a continuation can be gone on with. NAME.npy: the tokens of what
    follows, int64 [streams, frames] without delays. about/NAME.json: see `described`.
    """
    sound = torch.cat([found.prompt, found.waveform], 1)
    spoken = _words(sample, found, sample_rate)
    about = described(sample, found, settings, sample_rate)
    with ExitStack() as stack:
        # The last one to be entered is the first one in place: who finds the words finds the rest, too.
        words, described_in, tokens, wav = (
            stack.enter_context(atomic_write(folder / file))
            for file in (f"{name}{WORDS}", f"{ABOUT}/{name}{WORDS}", f"{name}{TOKENS}", f"{name}{SOUND}")
        )
        write_sound(wav, sound, sample_rate)
        with tokens.open("wb") as file:
            np.save(file, found.tokens.numpy(), allow_pickle=False)
        described_in.write_text(_as_json(about), encoding="utf-8")
        words.write_text(_as_json(spoken), encoding="utf-8")


def write_sound(path: Path, waveform: Tensor, sample_rate: int) -> None:
    """A waveform [channels, samples] as a WAV file of 16 bits; louder than full scale is cut off at it."""
    soundfile.write(path, waveform.clamp(-1, 1).T.numpy(), sample_rate, subtype="PCM_16", format="WAV")


def described(sample: Sample, found: Continuation, settings: DialogueSettings, sample_rate: int) -> dict[str, Any]:
    """How NAME.wav was made, times in seconds.

    prompt_seconds: where the continuation begins. left, right: the speakers' names in the data. partner: where the
    continuation of the right channel comes from. text: what the model says.
    """
    assert sample.dialogue is not None
    left = sample.dialogue.main
    return {
        "key": found.key,
        "prompt_seconds": _ms(found.prompt.shape[1] / sample_rate),
        "seconds": _ms(found.waveform.shape[1] / sample_rate),
        "left": left,
        "right": "B" if left == "A" else "A",
        "partner": found.partner,
        "text": " ".join(word.text for word in found.words),
        "settings": asdict(settings),
    }


def _words(sample: Sample, found: Continuation, sample_rate: int) -> list[dict[str, Any]]:
    """The words of the prompt that are known, and then the model's; A is left, whoever that was in the data."""
    assert sample.dialogue is not None
    begins = found.prompt.shape[1] / sample_rate
    before = sorted((word for word in sample.dialogue.words if word.start < begins), key=lambda word: word.start)
    after = [word.model_copy(update={"start": word.start + begins, "end": word.end + begins}) for word in found.words]
    return [
        {
            "speaker": "A" if word.speaker == sample.dialogue.main else "B",
            "word": word.text,
            "start": _ms(word.start),
            "end": _ms(word.end),
        }
        for word in [*before, *after]
    ]


def _ms(seconds: float) -> float:
    return round(seconds, 3)


def _as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1) + "\n"
