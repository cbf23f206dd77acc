"""One optimiser step.

Loss = for each stream, the sum of the negative log-likelihood over all micro-batches and processes, divided by the
count of its labels over all of them, weighted and added up. Neither packing, nor accumulation, nor the number of
processes changes the gradient.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from voxtune.data.example import Batch
from voxtune.errors import RecipeError
from voxtune.families.family import Model
from voxtune.parts.precision import autocast
from voxtune.recipe import TrainSection
from voxtune.training.optim import schedule_factor, set_learning_rate
from voxtune.training.parallel import Parallel
from voxtune.training.tuning import set_train_mode

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Step:
    """What happened in a step, over all processes. Losses are means over labels.

    applied: the weights moved; overflow: fp16 gradients were too large, which the loss scale mends by itself;
    stop: some process was asked to stop.
    """

    number: int
    loss: float
    streams: dict[str, float]
    gradient_norm: float
    learning_rate: float
    tokens: int
    audio_seconds: float
    applied: bool
    overflow: bool
    stop: bool
    padding_share: float


class Trainer:
    """A model, its optimiser, and the arithmetic of one step."""

    def __init__(
        self, model: Model, optimizer: torch.optim.Optimizer, train: TrainSection, total_steps: int, parallel: Parallel
    ) -> None:
        self.model = model
        set_train_mode(model)
        self.wrapped = parallel.wrap(model)
        self.optimizer = optimizer
        self.train = train
        self.total_steps = total_steps
        self.parallel = parallel
        self.scaler = torch.amp.GradScaler(parallel.device.type, enabled=train.precision == "fp16")
        self.trained = [p for group in optimizer.param_groups for p in group["params"]]
        self.checked = False
        self.weights = torch.tensor(list(model.stream_weights.values()), device=parallel.device)

    def state_dict(self) -> dict[str, Any]:
        """The optimiser's state and the fp16 loss scale."""
        return {"optimizer": self.optimizer.state_dict(), "scaler": self.scaler.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from the state of another trainer over the same parameters."""
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])

    def step(self, number: int, micro_batches: list[Batch], *, stop: bool = False) -> Step:
        """Take optimiser step `number` (from 1) with this process's micro-batches.

        A step whose loss or gradient is not finite is not applied, and its samples are named. `stop`: this process
        was asked to stop.
        """
        if not self.model.training:
            set_train_mode(self.model)
        seed = np.random.SeedSequence([self.train.seed, number, self.parallel.rank])
        torch.manual_seed(int(seed.generate_state(1)[0]))
        totals = self._totals(micro_batches, stop)
        denominators = _denominators(totals[: len(self.weights)]).float()
        factor = schedule_factor(self.train.schedule, number, self.total_steps)
        set_learning_rate(self.optimizer, factor)
        self.optimizer.zero_grad(set_to_none=True)
        sums = []
        for batch in micro_batches:
            with nullcontext() if batch is micro_batches[-1] else self.parallel.without_sync(self.wrapped):
                sums.append(self._forward_backward(batch, denominators))
        self._check_gradients(totals)
        self.scaler.unscale_(self.optimizer)
        norm = torch.nn.utils.clip_grad_norm_(self.trained, self.train.clip)
        means = self.parallel.sum(torch.stack(sums).sum(0)) / denominators
        *streams, loss, gradient_norm = torch.cat([means, (means * self.weights).sum()[None], norm[None]]).tolist()
        applied = math.isfinite(loss) and math.isfinite(gradient_norm)
        if applied:
            self.scaler.step(self.optimizer)
        self.scaler.update()
        overflow = self.scaler.is_enabled() and math.isfinite(loss) and not applied
        if not applied and not overflow:
            self._name_samples(number, micro_batches, sums, loss)
        return Step(
            number=number,
            loss=loss,
            streams=dict(zip(self.model.stream_weights, streams, strict=True)),
            gradient_norm=gradient_norm,
            learning_rate=self.optimizer.param_groups[0]["lr"],
            tokens=int(totals[-4]),
            audio_seconds=float(totals[-3]),
            applied=applied,
            overflow=overflow,
            stop=bool(totals[-1]),
            padding_share=float(totals[-2] / (totals[-4] + totals[-2])),
        )

    def _totals(self, micro_batches: list[Batch], stop: bool) -> Tensor:
        """One reduction over all processes: labels of each stream, tokens, audio seconds, padding, wish to stop."""
        counts = [self.model.label_counts(batch) for batch in micro_batches]
        labels = [sum(count[name] for count in counts) for name in self.model.stream_weights]
        tokens = sum(sum(batch.lengths) for batch in micro_batches)
        padding = sum(batch.tokens.shape[1] for batch in micro_batches) - tokens
        seconds = sum(batch.seconds for batch in micro_batches)
        totals = torch.tensor([*labels, tokens, seconds, padding, stop], dtype=torch.float64)
        return self.parallel.sum(totals.to(self.parallel.device))

    def _check_gradients(self, totals: Tensor) -> None:
        """Refuse a part that no loss reaches, such as a CTC branch without a CTC loss."""
        if self.checked or not totals[-3]:
            return
        self.checked = True
        for group in self.optimizer.param_groups:
            if all(parameter.grad is None for parameter in group["params"]):
                raise RecipeError(
                    f"tune.parts: {group['part']} gets no gradient from the losses "
                    f"{', '.join(self.model.stream_weights)}: leave it out, or give its loss a weight (model section)"
                )

    def _forward_backward(self, batch: Batch, denominators: Tensor) -> Tensor:
        """Sums of one micro-batch, one a stream, left on the device."""
        with self.autocast():
            losses = self.wrapped(batch.to(self.parallel.device))
        sums = torch.stack([losses[name] for name in self.model.stream_weights])
        # DDP averages gradients over processes; the denominators already count all of them.
        scale = self.weights * self.parallel.world / denominators
        self.scaler.scale((sums * scale).sum()).backward()
        return sums.detach()

    def autocast(self) -> AbstractContextManager[object]:
        """Mixed precision as the recipe asks for it."""
        return autocast(self.train.precision, self.parallel.device)

    @torch.no_grad()
    def evaluate(self, batches: Iterable[Batch]) -> dict[str, float]:
        """Mean loss ("loss") and each stream's mean over this and all other processes' batches, in eval mode."""
        self.model.eval()
        sums = torch.zeros(2, len(self.weights), dtype=torch.float64, device=self.parallel.device)
        for batch in batches:
            counts = self.model.label_counts(batch)
            with self.autocast():
                losses = self.model(batch.to(self.parallel.device))
            for column, name in enumerate(self.model.stream_weights):
                sums[0, column] += losses[name]
                sums[1, column] += counts[name]
        self.parallel.sum(sums)
        means = sums[0] / _denominators(sums[1])
        by_name = dict(zip(self.model.stream_weights, means.tolist(), strict=True))
        return {"loss": float((means * self.weights).sum())} | (by_name if len(by_name) > 1 else {})

    def _name_samples(self, number: int, micro_batches: list[Batch], sums: list[Tensor], loss: float) -> None:
        everything = math.isfinite(loss)
        suspects = [
            batch.keys
            for batch, stream_sums in zip(micro_batches, sums, strict=True)
            if everything or not stream_sums.isfinite().all()
        ]
        keys = sorted(key for ranks in self.parallel.gather(suspects) for batch in ranks for key in batch)
        what = "gradient" if math.isfinite(loss) else "loss"
        if self.parallel.is_main:
            samples = ", ".join(keys)
            logger.warning("step %d: the %s is not finite; step not applied. Samples: %s", number, what, samples)


def _denominators(counts: Tensor) -> Tensor:
    """What sums are divided by: a stream without labels has the mean 0."""
    return torch.where(counts == 0, 1, counts)
