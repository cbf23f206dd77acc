"""What the cases of Moshi's language model share: the network, and how batches are compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tests.parity.tensors import assert_close, read_tensors
from voxtune.data.example import Batch
from voxtune.families.moshi.config import LmConfig, Options
from voxtune.families.moshi.model import Moshi
from voxtune.families.moshi.tensor_names import from_ours, to_fine_tuning, to_modules, to_ours, to_published

LOGITS, LOSSES, GRADIENTS = 5e-5, 2e-5, 1e-4
"""Tolerances of the cases' READMEs; gradients relative to the largest entry."""


def network(case: Path, sizes: dict[str, Any], weights: str = "weights") -> Moshi:
    """The network of a case, loaded strictly from any of upstream's layouts."""
    config = LmConfig.from_dict(sizes, str(case))
    model = Moshi(config)
    model.load_state_dict(to_ours(to_modules(read_tensors(case, weights), config), config))
    return model.eval()


def losses(model: Moshi, batch: Batch, options: Options) -> tuple[Tensor, dict[str, float]]:
    """The total loss, and the mean of each stream."""
    model.options = options
    sums, counts = model(batch), model.label_counts(batch)
    assert sums.keys() == counts.keys() == model.stream_weights.keys()
    means = {name: total / (counts[name] or 1) for name, total in sums.items()}
    total = sum((weight * means[name] for name, weight in model.stream_weights.items()), torch.zeros(()))
    return total, {name: float(mean.detach()) for name, mean in means.items()}


def assert_gradients(model: Moshi, recorded: dict[str, Tensor]) -> None:
    """Gradients of the model against `grad.NAME`, under upstream's names."""
    ours = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    published = to_published(from_ours(ours, model.config))
    by_name = published | to_fine_tuning(published)
    theirs = {name.removeprefix("grad."): value for name, value in recorded.items() if name.startswith("grad.")}
    assert theirs
    for name, value in theirs.items():
        assert_close(by_name[name], value, GRADIENTS * value.abs().max().item(), name)
