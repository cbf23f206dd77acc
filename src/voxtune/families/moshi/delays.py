"""Streams with their delays: what is heard later stands some frames later in its row."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from voxtune.data.example import IGNORED
from voxtune.families.moshi.config import LmConfig


def delayed(tokens: Tensor, config: LmConfig, text_padding: int) -> Tensor:
    """Tokens of a dialogue [1 + n_q, frames] as the model sees them, [1 + n_q, 1 + frames + longest delay].

    First the initial tokens, as many more as the stream is delayed, then the tokens; at the end what fills the row:
    text padding or the initial code. Nothing is lost. Source: nu-dialogue/moshi-finetune, utils/data.py.
    """
    longest = max(config.delays)
    filling = torch.tensor([text_padding, *config.initial_tokens[1:]])
    row = filling[:, None].repeat(1, 1 + tokens.shape[1] + longest)
    for stream, (delay, initial) in enumerate(zip(config.delays, config.initial_tokens, strict=True)):
        row[stream, : 1 + delay] = initial
        row[stream, 1 + delay : 1 + delay + tokens.shape[1]] = tokens[stream]
    return row


def undelayed(rows: Tensor, delays: Sequence[int]) -> Tensor:
    """The frames that are complete in delayed rows [..., streams, frames], without initial tokens before them."""
    frames = rows.shape[-1] - max(delays)
    return torch.stack([rows[..., stream, delay : delay + frames] for stream, delay in enumerate(delays)], -2)


def labels_of(row: Tensor, config: LmConfig) -> Tensor:
    """What is learned of a delayed row: every token that can be predicted. The first column is only context."""
    initial = torch.tensor(config.initial_tokens)[:, None]
    labels = torch.where((row < 0) | (row >= initial), IGNORED, row)
    labels[1 + config.dep_q :] = IGNORED
    labels[:, 0] = IGNORED
    return labels
