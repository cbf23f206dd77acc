"""Drawing tokens from logits with noise that is made elsewhere, so that a draw can be repeated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn. temperature 0: the likeliest. top_p: from the fewest that together are this likely, 0 =
    off; else top_k: from so many, 0 = all."""

    temperature: float
    top_k: int = 0
    top_p: float = 0.0

    def candidates(self, vocabulary: int) -> int:
        """How many tokens of a vocabulary can be drawn, and so how much noise a draw takes."""
        if self.temperature <= 0:
            return 0
        return min(self.top_k, vocabulary) if self.top_k > 0 and self.top_p <= 0 else vocabulary


def sample(logits: Tensor, sampling: Sampling, noise: Tensor) -> Tensor:
    """Tokens drawn from logits, [batch, vocabulary] float32 to [batch] int64.

    noise: exponentially distributed [batch, sampling.candidates(vocabulary)]; it decides alone, nothing else is random.
    Source of the numbers: kyutai-labs/moshi, utils/sampling.py (sample_token).
    """
    if sampling.temperature <= 0:
        return logits.argmax(-1)
    tokens, weights = weighted(logits, sampling)
    drawn = (weights / noise).argmax(-1)
    return drawn if tokens is None else tokens.gather(-1, drawn[:, None])[:, 0]


def weighted(logits: Tensor, sampling: Sampling) -> tuple[Tensor | None, Tensor]:
    """The tokens that can be drawn (None = all, in order) and their weights, [batch, candidates] both."""
    likely = torch.softmax(logits / sampling.temperature, -1)
    if sampling.top_p > 0:
        weights, tokens = likely.sort(-1, descending=True)
        weights = weights * (weights.cumsum(-1) - weights <= sampling.top_p)
        return tokens, weights / weights.sum(-1, keepdim=True)
    if sampling.top_k > 0:
        weights, tokens = likely.topk(min(sampling.top_k, likely.shape[-1]), -1)
        return tokens, weights
    return None, likely


class Noise:
    """Exponential noise for a batch, each row from random numbers of its own: its neighbours do not matter."""

    def __init__(self, seeds: Sequence[int], device: torch.device) -> None:
        self.device = device
        self.generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]

    def draw(self, count: int) -> Tensor:
        """The next of each row, float32 [rows, count]."""
        noise = torch.empty(len(self.generators), count, device=self.device)
        for row, generator in zip(noise, self.generators, strict=True):
            row.exponential_(generator=generator)
        return noise
