"""Dialogues that go on by themselves: recordings in, a continuation with its sound and its words out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from voxtune.data.example import AudioInput
from voxtune.data.sample import Sample, Word
from voxtune.errors import DataError, VoxtuneError
from voxtune.families.family import Continuation, DialogueSettings
from voxtune.families.moshi.delays import delayed, undelayed
from voxtune.families.moshi.frames import UNKNOWN, continue_rows, frame_sampling
from voxtune.families.moshi.layout import MoshiLayout
from voxtune.families.moshi.model import Moshi
from voxtune.families.moshi.text import words_on_frames
from voxtune.parts.sampling import Noise

Partner = Literal["generated", "recording", "silence"]


def converse(
    model: Moshi, layout: MoshiLayout, samples: Sequence[tuple[Sample, Sequence[Tensor]]], settings: DialogueSettings
) -> Iterator[Continuation]:
    """How dialogues go on after `prompt_seconds`, in order, as one batch. See `Family.converse`.

    A model that predicts both speakers makes up both. Else the partner says what the recording goes on with, and is
    silent after its end. Random numbers come from the seed and the sample's key alone. Raises DataError naming a
    recording that is shorter than the prompt.
    """
    codec, device = layout.assets.codec, model.text_linear.weight.device
    codec.to(device)
    heard, frames = (round(seconds * codec.frame_rate) for seconds in (settings.prompt_seconds, settings.seconds))
    if heard < 0 or frames < 1:
        raise VoxtuneError(
            f"prompt_seconds = {settings.prompt_seconds:g}, seconds = {settings.seconds:g}: a prompt cannot be shorter "
            f"than nothing, nor what follows it than a frame of {1 / codec.frame_rate:g} s"
        )
    columns = frames + max(model.config.delays)
    starts = [
        _start(layout, sample, _encoded(layout, waveforms, heard + columns), heard, columns)
        for sample, waveforms in samples
    ]
    rows = torch.stack([delayed(known, model.config, layout.assets.text.padding) for known, _ in starts])
    given = rows[:, :, 1 + heard : 1 + heard + columns]  # behind the initial tokens
    found = continue_rows(
        model,
        rows[:, :, : 1 + heard].to(device),
        columns,
        frame_sampling(settings),
        Noise([_seed(settings.seed, sample.key) for sample, _ in samples], device),
        given.to(device),
    ).cpu()
    tokens = undelayed(found, model.config.delays)
    whole = [torch.cat([known[:, :heard], own], 1) for (known, _), own in zip(starts, tokens, strict=True)]
    sounds = _stereo(layout, whole)
    samples_heard = heard * codec.frame_size
    for (sample, waveforms), (_, partner), own, both in zip(samples, starts, tokens, sounds, strict=True):
        prompt = both[:, :samples_heard]
        if waveforms:
            left, right = waveforms if _speaker(sample) == "A" else waveforms[::-1]
            prompt = torch.stack([_cut(left, samples_heard), _cut(right, samples_heard)])
        words = _words(layout, sample, own[0])
        yield Continuation(sample.key, own, both[:, samples_heard:], prompt, words, partner)


def sound(model: Moshi, layout: MoshiLayout, tokens: Tensor) -> Tensor:
    """See `Family.sound`; tokens int64 [1 + n_q, frames] without delays."""
    config = model.config
    if tokens.dim() != 2 or len(tokens) != 1 + config.n_q or not tokens.shape[1]:
        raise DataError(
            f"tokens of shape {list(tokens.shape)}; text and the codes of both speakers are needed, "
            f"[{1 + config.n_q}, frames]"
        )
    if len(wrong := ((tokens[1:] < 0) | (tokens[1:] >= config.card)).nonzero()):
        stream, frame = wrong[0].tolist()
        code = int(tokens[1 + stream, frame])
        raise DataError(f"code {code} in row {1 + stream}, frame {frame}; this model's codec has {config.card} codes")
    layout.assets.codec.to(model.text_linear.weight.device)
    return _stereo(layout, [tokens])[0]


def _stereo(layout: MoshiLayout, tokens: Sequence[Tensor]) -> list[Tensor]:
    """How frames of tokens [1 + n_q, frames] sound, [2, samples] each, on the CPU."""
    codebooks = layout.config.codebooks
    sides = [side for each in tokens for side in each[1:].split(codebooks)]
    waveforms = [waveform.cpu() for waveform in layout.assets.codec.decode(sides)]
    return [torch.stack(pair) for pair in zip(waveforms[::2], waveforms[1::2], strict=True)]


def _start(
    layout: MoshiLayout, sample: Sample, audio: Sequence[AudioInput], heard: int, columns: int
) -> tuple[Tensor, Partner]:
    """What is known of the frames of a dialogue, [1 + n_q, heard + columns], and where its partner comes from."""
    tokens = layout.tokens(sample, audio)[:, : heard + columns]
    recorded = tokens.shape[1]
    if recorded < heard:
        rate = layout.assets.codec.frame_rate
        raise DataError(
            f"{sample.origin}: {recorded / rate:.2f} s long, the prompt is {heard / rate:.2f} s; give a longer "
            "recording, or a shorter prompt (prompt_seconds)"
        )
    known = tokens.new_full((len(tokens), heard + columns), UNKNOWN)
    known[:, :heard] = tokens[:, :heard]
    if layout.config.user_stream:
        return known, "generated"
    own = 1 + layout.config.codebooks
    known[own:, :recorded] = tokens[own:]
    if recorded < heard + columns:
        known[own:, recorded:] = _silence(layout, heard + columns - recorded)
    return known, "recording" if recorded > heard else "silence"


def _encoded(layout: MoshiLayout, waveforms: Sequence[Tensor], frames: int) -> list[AudioInput]:
    """Codes of the first frames of recordings, none for none."""
    codec = layout.assets.codec
    codes = codec.encode([waveform[: frames * codec.frame_size] for waveform in waveforms])
    return [AudioInput(each.T.cpu(), 0, each.shape[1]) for each in codes]


def _silence(layout: MoshiLayout, frames: int) -> Tensor:
    """The codes of frames without a sound, [codebooks, frames]."""
    codec = layout.assets.codec
    return codec.encode([torch.zeros(frames * codec.frame_size)])[0].cpu()


def _words(layout: MoshiLayout, sample: Sample, text: Tensor) -> list[Word]:
    """What the model says, with times from the first frame."""
    assets, speaker = layout.assets, _speaker(sample)
    timed = words_on_frames(
        text, assets.tokenizer, frame_rate=assets.codec.frame_rate, whitespace=assets.whitespace, ids=assets.text
    )
    return [Word(speaker=speaker, text=word, start=start, end=end) for word, start, end in timed]


def _speaker(sample: Sample) -> Literal["A", "B"]:
    """Who the model plays."""
    assert sample.dialogue is not None, "the layout has refused it"
    return sample.dialogue.main


def _cut(waveform: Tensor, samples: int) -> Tensor:
    """The first samples, filled with silence where a last frame is not whole."""
    return F.pad(waveform[:samples], (0, max(0, samples - len(waveform))))


def _seed(seed: int, key: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed} {key}".encode()).digest()[:8])
