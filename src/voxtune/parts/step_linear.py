"""Linear layers that have weights of their own at each step of a short sequence, as one batched product."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class StepLinear(nn.Module):
    """y[step] = W[set of the step] x[step], without bias.

    schedule: the number of each step's weight set, such as range(steps). weight: [sets, out, in].
    """

    steps: Tensor

    def __init__(self, schedule: Sequence[int], in_features: int, out_features: int) -> None:
        super().__init__()
        self.schedule = tuple(schedule)
        self.in_features, self.out_features = in_features, out_features
        self.weight = nn.Parameter(torch.empty(max(self.schedule) + 1, out_features, in_features))
        self.register_buffer("steps", torch.tensor(self.schedule), persistent=False)
        bound = 1 / math.sqrt(in_features)
        nn.init.uniform_(self.weight, -bound, bound)

    def like(self, in_features: int, out_features: int) -> StepLinear:
        """A new layer with the same schedule."""
        return StepLinear(self.schedule, in_features, out_features)

    def forward(self, states: Tensor) -> Tensor:
        """[steps, positions, in], or [positions, in] for all steps, to [steps, positions, out]."""
        one_set_a_step = self.schedule == tuple(range(len(self.weight)))
        weight = self.weight if one_set_a_step else self.weight[self.steps]
        if states.dim() == 2:
            by_step: Tensor = F.linear(states, weight.flatten(0, 1)).unflatten(-1, (-1, self.out_features))
            return by_step.transpose(0, 1)
        return torch.bmm(states, weight.transpose(1, 2))

    def at(self, step: int, states: Tensor) -> Tensor:
        """One step alone: [positions, in] to [positions, out]."""
        return F.linear(states, self.weight[self.schedule[step]])
