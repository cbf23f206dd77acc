"""Connectionist temporal classification: greedy reading, forced alignment and the loss."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class AlignedToken:
    """A target token with the frames it covers (`end` exclusive) and its best probability."""

    token: int
    start: int
    end: int
    score: float


def greedy(log_probs: Tensor, blank: int) -> list[int]:
    """Most probable tokens of [frames, classes]: repeats collapsed, blanks dropped."""
    best = torch.unique_consecutive(log_probs.argmax(-1))
    return [int(token) for token in best if token != blank]


def align(log_probs: Tensor, targets: list[int], blank: int) -> list[AlignedToken]:
    """Viterbi alignment of targets to [frames, classes].

    Raises ValueError when there are too few frames. Ties: a path stays where it is unless strictly beaten, as
    torchaudio.functional.forced_align does.
    """
    needed = len(targets) + sum(a == b for a, b in pairwise(targets))
    frames = log_probs.shape[0]
    if frames < needed:
        raise ValueError(f"{len(targets)} tokens need {needed} frames, there are {frames}")
    if not targets:
        return []
    path = _viterbi(log_probs.double().cpu(), targets, blank)
    probabilities = log_probs.exp()
    aligned = []
    for position, token in enumerate(targets):
        rows = (path == 2 * position + 1).nonzero()[:, 0]
        start, end = int(rows[0]), int(rows[-1]) + 1
        aligned.append(AlignedToken(token, start, end, float(probabilities[start:end, token].max())))
    return aligned


def _viterbi(log_probs: Tensor, targets: list[int], blank: int) -> Tensor:
    """State (even: blank, odd: target) of each frame on the best path."""
    states = torch.full((2 * len(targets) + 1,), blank)
    states[1::2] = torch.tensor(targets)
    may_skip = torch.zeros(len(states), dtype=torch.bool)
    may_skip[3::2] = states[3::2] != states[1:-2:2]
    emissions = log_probs[:, states]
    minus_infinity = torch.tensor(float("-inf"), dtype=torch.double)
    score = torch.full((len(states),), float("-inf"), dtype=torch.double)
    score[:2] = emissions[0, :2]
    came_from = torch.zeros(len(log_probs), len(states), dtype=torch.long)
    for frame in range(1, len(log_probs)):
        step = F.pad(score[:-1], (1, 0), value=float("-inf"))
        skip = torch.where(may_skip, F.pad(score[:-2], (2, 0), value=float("-inf")), minus_infinity)
        score, came_from[frame] = torch.stack([score, step, skip]).max(0)
        score = score + emissions[frame]
    state = len(states) - 1 if score[-1] > score[-2] else len(states) - 2
    path = torch.empty(len(log_probs), dtype=torch.long)
    for frame in range(len(log_probs) - 1, -1, -1):
        path[frame] = state
        state -= int(came_from[frame, state])
    return path


def ctc_loss_sum(log_probs: list[Tensor], targets: list[Tensor], blank: int) -> Tensor:
    """Sum of the CTC negative log-likelihood of segments, each [frames, classes] with its targets [tokens].

    A segment without targets adds nothing, nor does one with fewer frames than its targets need.
    """
    spoken = [(p, t) for p, t in zip(log_probs, targets, strict=True) if len(t)]
    if not spoken:
        return log_probs[0].sum() * 0
    log_probs, targets = [p for p, _ in spoken], [t for _, t in spoken]
    padded = torch.nn.utils.rnn.pad_sequence(log_probs)
    return F.ctc_loss(
        padded.float(),
        torch.cat(targets),
        torch.tensor([len(p) for p in log_probs]),
        torch.tensor([len(t) for t in targets]),
        blank=blank,
        reduction="sum",
        zero_infinity=True,
    )
