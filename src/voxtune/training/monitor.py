"""What a person and a program see of a run: the progress line, `log.jsonl`, trackers."""

from __future__ import annotations

import json
import resource
import time
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from voxtune.files import write_text
from voxtune.training.checkpoints import Progress as RunProgress
from voxtune.training.step import Step
from voxtune.training.trackers import Tracker

LOG = "log.jsonl"


class Monitor:
    """Shows and records the steps of a run. On processes other than the main one it does nothing."""

    def __init__(
        self, output: Path, total_steps: int, start: int, trackers: list[Tracker], console: Console, *, is_main: bool
    ) -> None:
        self.is_main = is_main
        self.trackers = trackers
        self.console = console
        self.log = output / LOG
        self.total_steps = total_steps
        self.started = self.previous = time.monotonic()
        self.bar = Progress(
            TextColumn("[bold]step"),
            MofNCompleteColumn(),
            BarColumn(bar_width=24),
            TextColumn("loss {task.fields[loss]:.3f}  {task.fields[speed]:.0f} s audio/s "),
            TimeRemainingColumn(),
            console=console,
            disable=not is_main,
        )
        self.task = self.bar.add_task("", total=total_steps, completed=start, loss=float("nan"), speed=0.0)
        if is_main:
            _forget_after(self.log, start)

    def __enter__(self) -> Monitor:
        self.bar.start()
        self.previous = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()
        for tracker in self.trackers:
            tracker.close()

    def step(self, step: Step) -> None:
        """Record an optimiser step."""
        if not self.is_main:
            return
        now = time.monotonic()
        seconds, self.previous = max(now - self.previous, 1e-9), now
        values: dict[str, float] = {
            "loss": step.loss,
            **{f"loss_{name}": value for name, value in step.streams.items() if len(step.streams) > 1},
            "gradient_norm": step.gradient_norm,
            "learning_rate": step.learning_rate,
            "tokens_per_second": step.tokens / seconds,
            "audio_seconds_per_second": step.audio_seconds / seconds,
            "padding_share": step.padding_share,
            "memory_gb": memory_gb(),
            "applied": float(step.applied),
        }
        self._record(step.number, values)
        self.bar.update(self.task, completed=step.number, loss=step.loss, speed=values["audio_seconds_per_second"])

    def evaluation(self, progress: RunProgress) -> None:
        """Record the metrics of the validation data."""
        if not self.is_main:
            return
        self._record(progress.step, {f"validation_{name}": value for name, value in progress.metrics.items()})
        shown = "  ".join(f"{name} {value:.4f}" for name, value in progress.metrics.items())
        best = "  (best so far)" if progress.best_step == progress.step else ""
        self.console.print(f"step {progress.step}: validation {shown}{best}")
        self.previous = time.monotonic()

    def decoded(self, rows: list[tuple[str, str, str]], most: int = 3) -> None:
        """Show some decoded validation samples: key, reference, hypothesis."""
        if not self.is_main:
            return
        table = Table(show_edge=False, header_style="dim", expand=True)
        table.add_column("sample", no_wrap=True, min_width=max((len(key) for key, _, _ in rows[:most]), default=0))
        for column in ("reference", "decoded"):
            table.add_column(column, overflow="ellipsis", no_wrap=True, ratio=1)
        for row in rows[:most]:
            table.add_row(*row)
        self.console.print(table)

    def _record(self, step: int, values: dict[str, float]) -> None:
        line = {"step": step, "time": round(time.monotonic() - self.started, 3), **values}
        with self.log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        for tracker in self.trackers:
            tracker.log(step, values)


def read_log(output: Path) -> list[dict[str, Any]]:
    """The lines of a run's `log.jsonl`."""
    return [json.loads(line) for line in (output / LOG).read_text(encoding="utf-8").splitlines()]


def memory_gb() -> float:
    """Peak memory of this process: of the GPU where there is one, else of the process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def _forget_after(log: Path, step: int) -> None:
    """Remove what was logged after the checkpoint that the run continues from, and a half-written last line."""
    if not log.exists():
        return
    kept = []
    for line in log.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line + "\n")
        except ValueError:
            break
    write_text(log, "".join(kept))
