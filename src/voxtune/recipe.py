"""The recipe: everything a run is made of, typed. Unknown keys are errors that name the nearest right key."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, Literal

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, Field, SerializeAsAny, ValidationError, field_validator, model_validator
from yaml import YAMLError

from voxtune.data.sample import Strict
from voxtune.errors import RecipeError
from voxtune.families import find


class ModelSection(Strict):
    """Which model, from where, and the options of its family (written beside `family` and `source`)."""

    family: str
    source: str
    options: SerializeAsAny[BaseModel]

    @model_validator(mode="before")
    @classmethod
    def _family_options(cls, raw: Any) -> Any:
        if not isinstance(raw, dict) or "family" not in raw or "source" not in raw or "options" in raw:
            return raw
        own = {key: value for key, value in raw.items() if key not in ("family", "source")}
        options = find(str(raw["family"])).options
        return {"family": raw["family"], "source": raw["source"], "options": options.model_validate(own)}


class Source(Strict):
    """Data files in one layout, and how often they are seen in an epoch."""

    path: list[Path]
    weight: float = Field(1.0, gt=0, description="passes an epoch; 0.5 = half of it, another half each epoch")
    format: str | None = Field(None, description="layout of the files; None = recognised by itself")

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, raw: Any) -> Any:
        if isinstance(raw, str | Path):
            return {"path": [raw]}
        if isinstance(raw, dict) and isinstance(raw.get("path"), str | Path):
            return {**raw, "path": [raw["path"]]}
        return raw


class DataSection(Strict):
    """What is learned from, and what is measured on."""

    train: list[Source] = Field(min_length=1)
    validation: list[Source] = []
    task: str = "asr"
    skip_bad: bool = Field(False, description="leave out samples with errors and list them in skipped.jsonl")
    workers: int = Field(2, ge=0, description="processes that read audio ahead")
    feature_cache: Path | None = Field(None, description="folder of frozen features; None = the user's cache folder")
    feature_cache_gb: float = Field(50.0, ge=0, description="size limit of the folder; 0 = no cache")

    @field_validator("train", "validation", mode="before")
    @classmethod
    def _one_or_many(cls, raw: Any) -> Any:
        return raw if isinstance(raw, list) else [raw]


class LoraSection(Strict):
    """Low-rank adapters (peft)."""

    r: int = Field(16, gt=0)
    alpha: float = Field(32, gt=0)
    dropout: float = Field(0.05, ge=0, lt=1)
    targets: list[str] | None = Field(None, description="module names; None = the family's default")
    dora: bool = False
    rslora: bool = False


class TuneSection(Strict):
    """What is trained: `auto` = by hours of data; a mapping gives a part its own learning rate."""

    method: Literal["full", "lora"] = "full"
    parts: Literal["auto"] | list[str] | dict[str, float] = "auto"
    lora: LoraSection = LoraSection()


class ScheduleSection(Strict):
    """Learning rate over the run."""

    kind: Literal["cosine", "linear", "constant", "inverse_sqrt", "one_cycle"] = "cosine"
    warmup: float = Field(0.03, ge=0, description="below 1: share of the run; else optimiser steps")


class TrainSection(Strict):
    """The run."""

    output: Path
    tokens_per_step: int = Field(65536, gt=0, description="whole optimiser step, all processes")
    tokens_per_batch: int = Field(16384, gt=0, description="what one device holds at once")
    epochs: int = Field(1, gt=0)
    max_steps: int | None = Field(None, gt=0)
    learning_rate: float = Field(1e-4, gt=0)
    weight_decay: float = Field(0.0, ge=0)
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = Field(1e-8, gt=0, description="AdamW's")
    clip: float = Field(5.0, gt=0, description="largest gradient norm")
    schedule: ScheduleSection = ScheduleSection()
    precision: Literal["fp32", "bf16", "fp16"] = "bf16"
    activation_checkpointing: bool = False
    evaluate_every: int = Field(500, gt=0)
    evaluate_samples: int = Field(32, ge=0, description="validation samples decoded at each evaluation")
    best: Literal["loss", "error_rate"] = "loss"
    early_stopping: int = Field(0, ge=0, description="evaluations without a better one before stopping; 0 = never")
    checkpoint_every: int = Field(500, gt=0)
    keep_checkpoints: int = Field(3, gt=0)
    trackers: list[Literal["tensorboard", "wandb", "mlflow", "trackio"]] = ["tensorboard"]
    seed: int = 42


class LaunchSection(Strict):
    """On how many devices."""

    processes: int = Field(1, gt=0)
    strategy: Literal["ddp"] = "ddp"


class Recipe(Strict):
    """A whole run."""

    model: ModelSection
    data: DataSection
    tune: TuneSection = TuneSection()
    train: TrainSection
    launch: LaunchSection = LaunchSection()

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as they would stand in the file."""
        values = self.model_dump(mode="json")
        options = values["model"].pop("options")
        values["model"] |= options
        return values


def load_recipe(path: Path, overrides: list[str] | None = None) -> Recipe:
    """Read a recipe file with dotted overrides (`train.learning_rate=1e-4`).

    `train.output` is `runs/<name of the file>` when it is not given. Raises RecipeError naming file, key and value.
    """
    if not path.is_file():
        raise RecipeError(f"{path}: no such recipe; make one with `voxtune new FAMILY/TASK -o {path}`")
    bad = [text for text in overrides or [] if "=" not in text]
    if bad:
        raise RecipeError(f"{bad[0]!r} is no override; write key=value, such as train.learning_rate=1e-4")
    try:
        merged = OmegaConf.merge(OmegaConf.load(path), OmegaConf.from_dotlist(overrides or []))
        raw = OmegaConf.to_container(merged, resolve=True)
    except (OmegaConfBaseException, YAMLError, ValueError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: not a readable YAML recipe: {error}") from error
    if not isinstance(raw, dict):
        raise RecipeError(f"{path}: a recipe has sections model, data, tune, train, launch; this has none")
    train = raw.setdefault("train", {})
    if isinstance(train, dict):
        train.setdefault("output", f"runs/{path.stem}")
    return parse_recipe({str(key): value for key, value in raw.items()}, str(path))


def parse_recipe(raw: dict[str, Any], where: str) -> Recipe:
    """Check plain values; `where` stands in front of the messages."""
    try:
        return Recipe.model_validate(raw)
    except ValidationError as error:
        raise RecipeError("\n".join(_message(problem, where) for problem in error.errors())) from error


def _message(problem: Any, where: str) -> str:
    steps = [str(step) for step in problem["loc"]]
    key = ".".join(steps)
    if problem["type"] == "extra_forbidden":
        nearest = difflib.get_close_matches(key, _all_keys(), n=1, cutoff=0.4) or difflib.get_close_matches(
            steps[-1], [k.rsplit(".", 1)[-1] for k in _all_keys()], n=1, cutoff=0.4
        )
        hint = f"; did you mean {nearest[0]}?" if nearest else ""
        return f"{where}: unknown key {key}{hint}"
    if problem["type"] == "missing":
        return f"{where}: {key} is missing"
    return f"{where}: {key} = {problem['input']!r}: {problem['msg']}"


def _all_keys() -> list[str]:
    keys: list[str] = []

    def walk(section: type[BaseModel], prefix: str) -> None:
        for name, field in section.model_fields.items():
            keys.append(prefix + name)
            if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
                walk(field.annotation, f"{prefix}{name}.")

    walk(Recipe, "")
    return keys
