"""Make the dialogues of the Moshi demo with espeak-ng: `python demo/moshi/make_dialogues.py`.

Written to src/voxtune/demo/moshi/dialogues, for the splits `train` and `validation`, as nu-dialogue's fine-tuner
wants its data:
    {split}/audio/NAME.ogg      stereo, 24 kHz, left is the station desk (A), right is the traveller (B)
    {split}/text/NAME.json      the words of both with their times

Every turn begins on a multiple of 80 ms, the codec's frame. So the same phrase in the same voice gives much the same
codes, and a very small model can learn them from few dialogues.
"""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from espeak import SAMPLE_RATE, Waveform, Word, speak, word_times
from grammar import Dialogue, Turn, dialogue_plan

from voxtune.files import atomic_folder, write_text

SHIPPED = Path(__file__).parents[2] / "src/voxtune/demo/moshi/dialogues"

SEED = 30
FRAME = 0.08
PEAK = 0.6
TAIL = 0.4
SHIPPED_LIMIT = 7_500_000


@dataclass(frozen=True)
class Recording:
    """A dialogue that was spoken: float32 [samples, 2] at 24 kHz, and the words of each speaker."""

    waveform: Waveform
    words: list[tuple[str, Word]]


def record(dialogue: Dialogue) -> Recording:
    """Speak a dialogue."""
    spoken: list[tuple[Turn, float, Waveform]] = []
    words: list[tuple[str, Word]] = []
    previous_start = previous_end = end = 0.0
    for turn in dialogue.turns:
        voice = dialogue.voices[turn.speaker]
        waveform = speak(turn.text, voice)
        if turn.backchannel:
            start = on_grid(previous_start + turn.begins * (previous_end - previous_start))
        else:
            start = on_grid(previous_end + turn.begins)
            previous_start, previous_end = start, start + len(waveform) / SAMPLE_RATE
        spoken.append((turn, start, waveform))
        words += [
            (turn.speaker, Word(word.text, round(start + word.start, 3), round(start + word.end, 3)))
            for word in word_times(turn.text, voice)
        ]
        end = max(end, start + len(waveform) / SAMPLE_RATE)
    mixed = np.zeros((round(math.ceil((end + TAIL) / FRAME) * FRAME * SAMPLE_RATE), 2), np.float32)
    for turn, start, waveform in spoken:
        first = round(start * SAMPLE_RATE)
        mixed[first : first + len(waveform), "AB".index(turn.speaker)] += PEAK * waveform
    return Recording(mixed, sorted(words, key=lambda word: word[1].start))


def on_grid(seconds: float) -> float:
    """The nearest multiple of a frame."""
    return round(seconds / FRAME) * FRAME


def write(recording: Recording, name: str, folder: Path) -> None:
    """Write one dialogue as audio/NAME.ogg and text/NAME.json."""
    # Vorbis, because Opus at this size lets each channel leak into the other.
    file = folder / f"audio/{name}.ogg"
    soundfile.write(file, recording.waveform, SAMPLE_RATE, "VORBIS", format="OGG", compression_level=1.0)
    words = [
        json.dumps({"speaker": speaker, "word": word.text, "start": word.start, "end": word.end})
        for speaker, word in recording.words
    ]
    write_text(folder / f"text/{name}.json", "[\n  " + ",\n  ".join(words) + "\n]\n")


def main() -> None:
    """Make both splits."""
    for split, dialogues in dialogue_plan(SEED).items():
        shutil.rmtree(SHIPPED / split, ignore_errors=True)
        with atomic_folder(SHIPPED / split) as folder:
            (folder / "audio").mkdir()
            (folder / "text").mkdir()
            seconds = []
            for dialogue in dialogues:
                recording = record(dialogue)
                write(recording, dialogue.name, folder)
                seconds.append(len(recording.waveform) / SAMPLE_RATE)
        size = sum(file.stat().st_size for file in (SHIPPED / split).rglob("*.*"))
        print(
            f"{split}: {len(seconds)} dialogues of {min(seconds):.1f} to {max(seconds):.1f} s, "
            f"{sum(seconds):.0f} s, {size} bytes"
        )
    size = sum(file.stat().st_size for file in SHIPPED.rglob("*.*"))
    assert size <= SHIPPED_LIMIT, f"{size} bytes of dialogues are too many to ship"


if __name__ == "__main__":
    main()
