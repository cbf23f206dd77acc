"""Moshi's networks small enough for tests."""

from __future__ import annotations

from dataclasses import replace

import torch

from voxtune.data.example import Example
from voxtune.families.moshi.config import LmConfig, Options
from voxtune.families.moshi.delays import delayed, labels_of
from voxtune.families.moshi.model import Moshi

CONFIG = LmConfig(
    dim=32,
    text_card=40,
    card=16,
    num_heads=4,
    num_layers=2,
    context=9,
    depformer_dim=24,
    depformer_dim_feedforward=96,
    depformer_num_heads=3,
    depformer_num_layers=2,
)
BOTH = replace(CONFIG, dep_q=16, depformer_context=16)


def small_moshi(config: LmConfig = CONFIG, options: Options | None = None, seed: int = 0) -> Moshi:
    """A network with random weights."""
    torch.manual_seed(seed)
    return Moshi(config, options).eval()


def random_tokens(config: LmConfig, frames: int, seed: int) -> torch.Tensor:
    """A dialogue without delays, [1 + n_q, frames]; most frames hold no text."""
    random = torch.Generator().manual_seed(seed)
    text = torch.randint(0, config.text_card, (1, frames), generator=random)
    silent = torch.rand(1, frames, generator=random) < 0.6
    text = text.where(~silent, torch.tensor(config.existing_text_padding_id))
    return torch.cat([text, torch.randint(0, config.card, (config.n_q, frames), generator=random)])


def random_example(config: LmConfig, frames: int, seed: int) -> Example:
    """The same as a row with its labels."""
    row = delayed(random_tokens(config, frames, seed), config, config.existing_text_padding_id)
    return Example(f"d{seed}", row, labels_of(row, config))
