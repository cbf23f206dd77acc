"""Make the speech that the codec is trained on: `python demo/moshi/make_codec_speech.py`.

Both voices of the dialogues say every phrase of the grammar at all their rates and pitches, and other English at some
of them. Written to build/demo/moshi/speech.ogg: one channel, 24 kHz, with short silences between the phrases, through
the same Vorbis as the shipped dialogues.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import soundfile
from espeak import SAMPLE_RATE, Voice, Waveform, speak
from grammar import PITCHES, RATES, VOICES, texts
from make_dialogues import PEAK
from sentences import SENTENCES

from voxtune.files import atomic_write

SPEECH = Path(__file__).parents[2] / "build/demo/moshi/speech.ogg"

SEED = 31
SENTENCE_RATES = (155, 200)
SENTENCE_REPEATS = 4
SILENCE = (0.1, 0.7)
BLOCK = 10 * SAMPLE_RATE


def phrases(rng: np.random.Generator) -> list[tuple[str, Voice]]:
    """All that is said, in random order."""
    said: list[tuple[str, Voice]] = []
    for speaker, name in VOICES.items():
        voices = [Voice(name, rate, pitch) for rate, pitch in product(RATES[speaker], PITCHES[speaker])]
        said += product(texts(), voices)
        low, high = PITCHES[speaker]
        for sentence in SENTENCE_REPEATS * SENTENCES:
            said.append(
                (sentence, Voice(name, int(rng.integers(*SENTENCE_RATES)), int(rng.integers(low - 4, high + 5))))
            )
    return [said[index] for index in rng.permutation(len(said))]


def waveforms() -> Iterator[Waveform]:
    """The speech, phrase by phrase, each followed by silence."""
    rng = np.random.default_rng(SEED)
    for text, voice in phrases(rng):
        yield PEAK * speak(text, voice)
        yield np.zeros(int(rng.uniform(*SILENCE) * SAMPLE_RATE), np.float32)


def main() -> None:
    """Speak everything and write it."""
    speech = np.concatenate(list(waveforms()))
    with (
        atomic_write(SPEECH) as temporary,
        soundfile.SoundFile(temporary, "w", SAMPLE_RATE, 1, "VORBIS", format="OGG", compression_level=1.0) as file,
    ):
        for start in range(0, len(speech), BLOCK):  # libsndfile overflows the stack on one large block of Vorbis
            file.write(speech[start : start + BLOCK])
    print(f"{SPEECH}: {len(speech) / SAMPLE_RATE / 60:.1f} min, {SPEECH.stat().st_size} bytes")


if __name__ == "__main__":
    main()
