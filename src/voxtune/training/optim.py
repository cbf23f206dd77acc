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
        eps=train.epsilon,
        weight_decay=train.weight_decay,
        fused=True,
    )


def set_learning_rate(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Scale every group's own learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor


def schedule_factor(schedule: ScheduleSection, step: int, total: int) -> float:
    """Share of the learning rate that optimiser step number `step` (from 1) of `total` uses.

    Warm-up is linear. `inverse_sqrt` is upstream's warmuplr: funasr/schedulers/warmup_lr.py. `one_cycle` goes up and
    down on cosines, from 1/25 to 1 to 1/250000: torch's OneCycleLR without its changes of beta, as in
    kyutai-labs/moshi-finetune, train.py.
    """
    warmup = schedule.warmup * total if schedule.warmup < 1 else schedule.warmup
    if schedule.kind == "one_cycle":
        return _one_cycle(step - 1, total, warmup)
    warmup = max(1.0, warmup)
    if schedule.kind == "inverse_sqrt":
        return float(warmup**0.5 * min(step**-0.5, step * warmup**-1.5))
    if step < warmup:
        return step / warmup
    progress = min(1.0, (step - warmup) / max(1.0, total - warmup))
    if schedule.kind == "cosine":
        return 0.5 * (1 + math.cos(math.pi * progress))
    return 1 - progress if schedule.kind == "linear" else 1.0


def _one_cycle(done: int, total: int, warmup: float) -> float:
    """After `done` steps of `total`, of which about `warmup` go up."""
    top = warmup - 1
    if done <= top:
        start, end, share = 1 / 25, 1.0, done / top if top else 1.0
    else:
        start, end, share = 1.0, 1 / 25e4, min(1.0, (done - top) / max(1.0, total - 1 - top))
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * share))
