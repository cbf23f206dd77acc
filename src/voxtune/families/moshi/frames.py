"""Rows of frames that go on by themselves: the core of generation, on tokens with their delays."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from voxtune.families.family import DialogueSettings
from voxtune.families.moshi.model import Moshi
from voxtune.families.moshi.temporal import Cache
from voxtune.parts.sampling import Noise, Sampling, sample

UNKNOWN = -2
"""In place of a token that is still to be drawn."""


@dataclass(frozen=True)
class FrameSampling:
    """How the text and the codes of a frame are drawn."""

    text: Sampling
    codes: Sampling


def frame_sampling(settings: DialogueSettings) -> FrameSampling:
    """The text and the codes each in their own way."""
    return FrameSampling(
        text=Sampling(settings.text_temperature, settings.text_top_k),
        codes=Sampling(settings.temperature, settings.top_k),
    )


@torch.inference_mode()
def continue_rows(
    model: Moshi, prompt: Tensor, frames: int, sampling: FrameSampling, noise: Noise, given: Tensor | None = None
) -> Tensor:
    """How equally long delayed rows go on, int64 [batch, 1 + n_q, columns] to [batch, 1 + n_q, frames].

    given: tokens of those frames that are known, of the same shape, UNKNOWN elsewhere. Streams that the model does not
    predict (dep_q < n_q) have to be given; of the others those that are given are not drawn.
    Source of the numbers: nu-dialogue/moshi-finetune, models/moshi_for_generation.py (generate).
    """
    predicted = 1 + model.config.dep_q
    rows = torch.full_like(prompt[:, :, :1], UNKNOWN).repeat(1, 1, frames) if given is None else given.clone()
    if (rows[:, predicted:] == UNKNOWN).any():
        raise ValueError(f"the model predicts {predicted} streams; the tokens of the others have to be given")
    forced = (rows[:, :predicted] != UNKNOWN).any(0).any(0).tolist()
    cache = Cache(model.config, len(prompt), model.text_linear.weight, prompt.shape[2] + frames)
    state = model.prefill(prompt, cache)
    for frame in range(frames):
        known = rows[:, :predicted, frame] if forced[frame] else None
        rows[:, :predicted, frame] = next_frame(model, state, sampling, noise, model.config.dep_q, known)
        if frame + 1 < frames:
            state = model.advance(rows[:, :, frame], cache)
    return rows


def next_frame(
    model: Moshi, state: Tensor, sampling: FrameSampling, noise: Noise, steps: int, known: Tensor | None = None
) -> Tensor:
    """The text and the first `steps` codes of the frame that states [batch, dim] predict, [batch, 1 + steps].

    known: [batch, 1 + steps], what is UNKNOWN is drawn. Nothing waits for the device.
    """
    text, codes = (
        kind.candidates(size)
        for kind, size in (
            (sampling.text, model.text_linear.out_features),
            (sampling.codes, model.config.card),
        )
    )
    memory = model.depformer.memory(state, steps)
    tokens: list[Tensor] = []
    for step, own in enumerate(noise.draw(text + steps * codes).split([text] + [codes] * steps, 1)):
        if step == 0:
            token = sample(model.text_logits(state), sampling.text, own)
        else:
            token = sample(model.code_logits(step - 1, state, tokens[-1], memory), sampling.codes, own)
        if known is not None:
            token = torch.where(known[:, step] == UNKNOWN, token, known[:, step])
        tokens.append(token)
    return torch.stack(tokens, 1)
