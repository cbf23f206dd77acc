"""THE loop: read, step, log, evaluate, save; one for all families, methods and numbers of processes."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from voxtune.data.example import Batch
from voxtune.errors import VoxtuneError
from voxtune.recipe import TrainSection
from voxtune.training.checkpoints import Checkpoints, Progress
from voxtune.training.monitor import Monitor
from voxtune.training.step import Trainer

TOO_MANY_SKIPPED = 3


@dataclass
class Run:
    """What the loop works with. `steps` yields this process's micro-batches of each step, from `progress.step` on;
    `evaluate` gives the metrics of the validation data, None when there is none."""

    trainer: Trainer
    train: TrainSection
    total_steps: int
    steps: Iterator[list[Batch]]
    evaluate: Callable[[], dict[str, float]] | None
    checkpoints: Checkpoints
    monitor: Monitor
    progress: Progress


def fit(run: Run) -> Progress:
    """Train until the last step, until patience is spent, or until SIGINT or SIGTERM; returns how far it came.

    Raises VoxtuneError after three steps in a row without a finite loss and gradient.
    """
    progress, train = run.progress, run.train
    with _stop_signal() as asked_to_stop:
        while progress.step < run.total_steps:
            step = run.trainer.step(progress.step + 1, next(run.steps), stop=asked_to_stop.is_set())
            progress.step = step.number
            progress.tokens += step.tokens
            progress.audio_seconds += step.audio_seconds
            progress.skipped_in_a_row = 0 if step.applied or step.overflow else progress.skipped_in_a_row + 1
            run.monitor.step(step)
            if progress.skipped_in_a_row == TOO_MANY_SKIPPED:
                raise VoxtuneError(
                    f"step {step.number}: {TOO_MANY_SKIPPED} steps in a row without a finite loss or gradient. "
                    "Look at the samples named above, lower train.learning_rate, or use train.precision=fp32"
                )
            progress.finished = progress.step == run.total_steps
            if run.evaluate and (progress.step % train.evaluate_every == 0 or progress.finished):
                _evaluate(run, run.evaluate)
                progress.finished |= 0 < train.early_stopping <= progress.waited
            last = progress.finished or step.stop
            if last or progress.step % train.checkpoint_every == 0 or progress.best_step == progress.step:
                _save(run)
            if last:
                break
    return progress


def _evaluate(run: Run, evaluate: Callable[[], dict[str, float]]) -> None:
    progress = run.progress
    progress.metrics = evaluate()
    value = progress.metrics[run.train.best]
    if progress.best_value is None or value < progress.best_value:
        progress.best_step, progress.best_value, progress.waited = progress.step, value, 0
    else:
        progress.waited += 1
    run.monitor.evaluation(progress)


def _save(run: Run) -> None:
    if run.trainer.parallel.is_main:
        run.checkpoints.save(run.trainer, run.progress)
    run.trainer.parallel.wait()


@contextmanager
def _stop_signal() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set: the step at hand is finished and a checkpoint written."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    previous = {number: signal.signal(number, lambda *_: asked.set()) for number in numbers}
    try:
        yield asked
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
