"""The optimiser and the learning rate as a pure function of the step."""

from __future__ import annotations

import math

import torch

from voxtune.recipe import ScheduleSection, TrainSection
from voxtune.training.tuning import ParameterGroup


def adamw(groups: list[ParameterGroup], train: TrainSection) -> torch.optim.AdamW:
    """AdamW over the trained parameters; each part's own learning rate is kept as the group's `base_lr`."""
    return torch.optim.AdamW(
        [
            {"params": group.parameters, "lr": group.learning_rate, "base_lr": group.learning_rate, "part": group.part}
            for group in groups
        ],
        betas=train.betas,
        weight_decay=train.weight_decay,
        fused=True,
    )


def set_learning_rate(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Scale every group's own learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor


def schedule_factor(schedule: ScheduleSection, step: int, total: int) -> float:
    """Share of the learning rate that optimiser step number `step` (from 1) of `total` uses.

    Warm-up is linear. `inverse_sqrt` is upstream's warmuplr: funasr/schedulers/warmup_lr.py.
    """
    warmup = schedule.warmup * total if schedule.warmup < 1 else schedule.warmup
    warmup = max(1.0, warmup)
    if schedule.kind == "inverse_sqrt":
        return float(warmup**0.5 * min(step**-0.5, step * warmup**-1.5))
    if step < warmup:
        return step / warmup
    progress = min(1.0, (step - warmup) / max(1.0, total - warmup))
    if schedule.kind == "cosine":
        return 0.5 * (1 + math.cos(math.pi * progress))
    return 1 - progress if schedule.kind == "linear" else 1.0
