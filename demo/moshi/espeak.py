"""espeak-ng through its C library, because only the library tells when each word begins."""

from __future__ import annotations

import ctypes
import ctypes.util
from dataclasses import dataclass
from functools import cache

import numpy as np
import soxr
from numpy.typing import NDArray

SAMPLE_RATE = 24000
"""Of the waveforms that leave this file; espeak-ng itself works at 22050."""

_SYNCHRONOUS, _CHARACTERS, _UTF8 = 2, 1, 1
_RATE, _PITCH = 1, 3
_WORD_EVENT = 1
_SILENCE_DB = -45.0

Waveform = NDArray[np.float32]


@dataclass(frozen=True)
class Voice:
    """An espeak-ng voice with its speaking rate (words per minute) and its pitch (0 to 99)."""

    name: str
    rate: int
    pitch: int


@dataclass(frozen=True)
class Word:
    """A word and where it is heard, in seconds."""

    text: str
    start: float
    end: float


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    ]


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


class _Synthesiser:
    """The library keeps one state per process: one instance, made by `_synthesiser`."""

    def __init__(self) -> None:
        name = ctypes.util.find_library("espeak-ng")
        if name is None:
            raise SystemExit("libespeak-ng is missing: install espeak-ng")
        self.library = ctypes.CDLL(name)
        self.sample_rate = self.library.espeak_Initialize(_SYNCHRONOUS, 0, None, 0)
        self.callback = _Callback(self.receive)
        self.library.espeak_SetSynthCallback(self.callback)
        self.samples: list[int] = []
        self.word_starts: dict[int, float] = {}

    def receive(self, samples: ctypes._Pointer[ctypes.c_short], count: int, events: ctypes._Pointer[_Event]) -> int:
        if samples:
            self.samples += samples[:count]
        index = 0
        while events[index].type:
            event = events[index]
            if event.type == _WORD_EVENT:  # positions count from 1
                self.word_starts.setdefault(event.text_position - 1, event.audio_position / 1000)
            index += 1
        return 0

    def speak(self, text: str, voice: Voice) -> tuple[NDArray[np.int16], dict[int, float]]:
        self.samples, self.word_starts = [], {}
        if self.library.espeak_SetVoiceByName(voice.name.encode()):
            raise ValueError(f"espeak-ng has no voice {voice.name}")
        self.library.espeak_SetParameter(_RATE, voice.rate, 0)
        self.library.espeak_SetParameter(_PITCH, voice.pitch, 0)
        data = text.encode()
        self.library.espeak_Synth(data, len(data) + 1, 0, _CHARACTERS, 0, _UTF8, None, None)
        return np.array(self.samples, np.int16), self.word_starts


@cache
def _synthesiser() -> _Synthesiser:
    return _Synthesiser()


@cache
def _spoken(text: str, voice: Voice) -> tuple[Waveform, dict[int, float]]:
    """The waveform, peak 1, and where word events begin. Cached, because espeak-ng speaks the same text a little
    differently each time."""
    engine = _synthesiser()
    raw, events = engine.speak(text, voice)
    waveform = np.asarray(soxr.resample(raw.astype(np.float32), engine.sample_rate, SAMPLE_RATE), np.float32)
    return waveform / np.abs(waveform).max(), events


def _loud(waveform: Waveform) -> NDArray[np.int64]:
    return np.flatnonzero(np.abs(waveform) > 10 ** (_SILENCE_DB / 20))


def speak(text: str, voice: Voice) -> Waveform:
    """Speak a text: the waveform at 24 kHz, peak 1, cut to the speech."""
    waveform, _ = _spoken(text, voice)
    loud = _loud(waveform)
    return waveform[loud[0] : loud[-1] + 1]


def word_times(text: str, voice: Voice) -> list[Word]:
    """When each word is heard in the waveform of `speak`.

    Raises ValueError when espeak-ng joins words of the text, so that one has no time of its own.
    """
    waveform, events = _spoken(text, voice)
    loud = _loud(waveform)
    positions = [i for i in range(len(text)) if text[i] != " " and (i == 0 or text[i - 1] == " ")]
    # Where the text ends, espeak-ng may send one more event with a position left over from before.
    if not set(positions) <= set(events):
        raise ValueError(f"espeak-ng does not tell when each word of '{text}' begins")
    starts = [events[position] for position in positions]
    words = []
    for word, start, next_start in zip(text.split(), starts, [*starts[1:], len(waveform)], strict=True):
        heard = loud[(loud >= start * SAMPLE_RATE) & (loud < next_start * SAMPLE_RATE)] - loud[0]
        times = [round(float(sample) / SAMPLE_RATE, 3) for sample in (heard[0], heard[-1])]
        words.append(Word(word.strip(",."), *times))
    return words
