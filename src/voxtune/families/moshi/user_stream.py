"""The depth transformer's second half, which predicts the user's codes: put on at load, taken off for upstream.

Source of the map: nu-dialogue/moshi-finetune, models/utils.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from voxtune.families.moshi.config import LmConfig

SETS = re.compile(r"(depformer_in|depformer\.layers\.\d+\.(self_attn|gating))\.")
"""Modules of ours with one tensor a weight set."""
STEPS = re.compile(r"linears\.")
BETWEEN = re.compile(r"(depformer_emb|depformer_low_rank)\.")
"""Modules of ours with one tensor a step but the last."""
NORM = re.compile(r"depformer_norms\.(\d+)\.(.*)")

NUMBERED = (
    (re.compile(r"depformer_in\.(\d+)\."), "sets"),
    (re.compile(r"depformer\.layers\.\d+\.self_attn\.(?:in|out)_projs\.(\d+)\."), "sets"),
    (re.compile(r"depformer\.layers\.\d+\.gating\.(\d+)\."), "sets"),
    (re.compile(r"(?:linears|depformer_norms)\.(\d+)\."), "steps"),
    (re.compile(r"depformer_emb\.(\d+)\."), "between"),
)
"""Names of moshi 0.2.x that carry the number of a weight set, of a step, or of a step but the last."""


def extended(state: Mapping[str, Tensor], config: LmConfig) -> tuple[dict[str, Tensor], LmConfig]:
    """A state dict of ours for one speaker, as one for both: each step of the user starts as the model's same step.

    The user's first code is fed as the model's second one is.
    """
    steps = config.codebooks
    both: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if SETS.match(name) or STEPS.match(name):
            both[name] = torch.cat([tensor, tensor])
        elif BETWEEN.match(name):
            both[name] = torch.cat([tensor, tensor[:1], tensor])
        else:
            both[name] = tensor
            if found := NORM.fullmatch(name):
                both[f"depformer_norms.{steps + int(found[1])}.{found[2]}"] = tensor.clone()
    return both, _extended_config(config)


def split(modules: Mapping[str, Tensor], config: LmConfig) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Tensors under the names of moshi 0.2.x: those for the model's own stream, and those only for the user's."""
    steps = config.codebooks
    limits = {"sets": max(config.schedule[:steps]) + 1, "steps": steps, "between": steps - 1}
    kept: dict[str, Tensor] = {}
    removed: dict[str, Tensor] = {}
    for name, tensor in modules.items():
        found = next(((m, limits[kind]) for pattern, kind in NUMBERED if (m := pattern.match(name))), None)
        (removed if found and int(found[0][1]) >= found[1] else kept)[name] = tensor
    return kept, removed


def without_user_stream(config: LmConfig) -> LmConfig:
    """Sizes of what `split` keeps."""
    if not config.user_stream:
        return config
    steps = config.codebooks
    schedule, widths = config.depformer_weights_per_step_schedule, config.depformer_dim_feedforward
    sets = max(config.schedule[:steps]) + 1
    return replace(
        config,
        dep_q=steps,
        depformer_context=steps,
        depformer_weights_per_step_schedule=schedule and schedule[:steps],
        depformer_dim_feedforward=widths if isinstance(widths, int) else widths[:sets],
    )


def _extended_config(config: LmConfig) -> LmConfig:
    schedule, widths = config.depformer_weights_per_step_schedule, config.depformer_dim_feedforward
    sets = max(config.schedule) + 1
    return replace(
        config,
        dep_q=config.n_q,
        depformer_context=config.n_q,
        depformer_weights_per_step_schedule=schedule and schedule + tuple(sets + number for number in schedule),
        depformer_dim_feedforward=widths if isinstance(widths, int) else widths + widths,
    )
