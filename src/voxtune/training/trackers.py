"""Where numbers go besides `log.jsonl`: TensorBoard, W&B, MLflow, trackio."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, Protocol

from voxtune.errors import RecipeError


class Tracker(Protocol):
    """Takes named numbers of a step."""

    def log(self, step: int, values: dict[str, float]) -> None:
        """Record the numbers of a step."""

    def close(self) -> None:
        """Write what is pending."""


class TensorBoard:
    """Event files in `<run>/tensorboard`."""

    def __init__(self, output: Path, config: dict[str, Any]) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(output / "tensorboard"))

    def log(self, step: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)

    def close(self) -> None:
        self.writer.close()


class Wandb:
    """Weights & Biases; project `voxtune`, run named after the output folder."""

    def __init__(self, output: Path, config: dict[str, Any]) -> None:
        self.run = _installed("wandb").init(
            project="voxtune", name=output.name, id=output.name, resume="allow", dir=str(output), config=config
        )

    def log(self, step: int, values: dict[str, float]) -> None:
        self.run.log(values, step=step)

    def close(self) -> None:
        self.run.finish()


class MLflow:
    """MLflow; experiment `voxtune`, run named after the output folder."""

    def __init__(self, output: Path, config: dict[str, Any]) -> None:
        self.mlflow = _installed("mlflow")
        self.mlflow.set_experiment("voxtune")
        self.mlflow.start_run(run_name=output.name)

    def log(self, step: int, values: dict[str, float]) -> None:
        self.mlflow.log_metrics(values, step=step)

    def close(self) -> None:
        self.mlflow.end_run()


class Trackio:
    """trackio; project `voxtune`, run named after the output folder."""

    def __init__(self, output: Path, config: dict[str, Any]) -> None:
        self.trackio = _installed("trackio")
        self.trackio.init(project="voxtune", name=output.name, config=config)

    def log(self, step: int, values: dict[str, float]) -> None:
        self.trackio.log({**values, "step": step})

    def close(self) -> None:
        self.trackio.finish()


TRACKERS: dict[str, type[TensorBoard | Wandb | MLflow | Trackio]] = {
    "tensorboard": TensorBoard,
    "wandb": Wandb,
    "mlflow": MLflow,
    "trackio": Trackio,
}


def open_trackers(names: list[str], output: Path, config: dict[str, Any]) -> list[Tracker]:
    """Start the trackers of a recipe. Raises RecipeError when one is not installed."""
    return [TRACKERS[name](output, config) for name in names]


def _installed(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise RecipeError(f"train.trackers: {name} is not installed; `pip install {name}` or leave it out") from error
