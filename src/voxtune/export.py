"""A run in upstream's own layout, and the proof that what was written is what was trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from voxtune.data.audio import probe
from voxtune.data.example import pack
from voxtune.data.manifest import read_samples
from voxtune.data.sample import Sample
from voxtune.errors import CheckpointError, DataError, VoxtuneError
from voxtune.families.family import Family, Layout, Model
from voxtune.files import atomic_folder, sha256, write_json
from voxtune.parts.lora import merge_lora
from voxtune.recipe import Recipe
from voxtune.training.run_folder import LoadedRun, load_run

REPORT = "export.json"
PACKAGES = ("voxtune", "torch", "transformers", "peft")
VERIFIED_SAMPLES = 4
MERGE_TOLERANCE = 1e-5
"""Of a sample's mean loss a label; without a merge nothing may differ."""

Precision = Literal["bf16", "fp32"]
DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


@dataclass(frozen=True)
class Verification:
    """The written folder, loaded again, against the run's model (float32), rounded where that was asked for.

    largest_loss_difference: of a sample's mean loss a label, over all streams. equal_tensors: compared bit by bit,
    None after a merge.
    """

    samples: list[str]
    largest_loss_difference: float
    tolerance: float
    equal_tensors: int | None


def export(
    run: Path,
    folder: Path,
    *,
    target: str | None = None,
    checkpoint: Literal["best", "last"] = "best",
    merge: bool = False,
    dtype: Precision | None = None,
    verify: bool = False,
) -> dict[str, Any]:
    """Write a run's model in upstream's layout, whole or not at all; returns what is written to `export.json`.

    target: the runtime that shall load it, None = the family's first one. merge: fold LoRA into its weights. dtype: of
    all weights, which bf16 rounds; None = as they are, narrower only where that loses nothing. verify: load what was
    written, and compare it on the first samples of the run's validation data (training data when there is none).
    Raises VoxtuneError when the folder is taken or cannot be written, CheckpointError when the run cannot be loaded
    or the written folder gives other numbers.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise VoxtuneError(f"{folder} exists already; remove it or choose another name")
    loaded = load_run(run, checkpoint)
    target = _target(loaded.family, target)
    samples = _samples(loaded.recipe, loaded.layout) if verify else []
    before = [_losses(loaded.model, loaded.layout, sample) for sample in samples]
    if merge:
        _merge(loaded.model)
    if dtype == "bf16":
        _round(loaded.model, DTYPES[dtype])
        before = [_losses(loaded.model, loaded.layout, sample) for sample in samples]
    try:
        with atomic_folder(folder) as temporary:
            loaded.family.export(loaded.model, temporary, target, DTYPES[dtype] if dtype else None)
            verification = _verify(temporary, loaded, samples, before, merged=merge) if verify else None
            report = {
                "family": loaded.family.name,
                "target": target,
                "source": loaded.recipe.model.source,
                "run": run.resolve().name,
                "checkpoint": {"which": checkpoint, "step": loaded.progress.step, "metrics": loaded.progress.metrics},
                "merged": merge,
                "dtype": dtype,
                "verification": asdict(verification) if verification else None,
                "versions": {package: version(package) for package in PACKAGES},
                "files": _files(temporary),
            }
            write_json(temporary / REPORT, report)
    except OSError as error:
        raise VoxtuneError(f"{folder} cannot be written: {error}") from error
    return report


def _target(family: Family, asked: str | None) -> str:
    if asked is not None and asked not in family.targets:
        raise VoxtuneError(f"--for {asked}: {family.name} is exported for {', '.join(family.targets)}")
    return asked or family.targets[0]


def _samples(recipe: Recipe, layout: Layout) -> list[Sample]:
    """The first usable samples of the validation data, or of the training data."""
    found: list[Sample] = []
    sources = recipe.data.validation or recipe.data.train
    for sample in (sample for source in sources for sample in read_samples(source.path, source.format)):
        try:
            problems = layout.problems(sample, [probe(part).seconds for part in sample.audio])
        except DataError:
            if not recipe.data.skip_bad:
                raise
            continue
        if not problems:
            found.append(sample)
        if len(found) == VERIFIED_SAMPLES:
            break
    if not found:
        raise DataError("the run's data hold no sample that could verify the export")
    return found


@torch.no_grad()
def _losses(model: Model, layout: Layout, sample: Sample) -> Tensor:
    """The mean negative log-likelihood a label of each stream, float32 [streams], in eval mode."""
    model.eval()
    views = layout.views(sample, [probe(part).seconds for part in sample.audio])
    batch = pack([layout.example(views[0], layout.waveforms(sample), None)])
    sums, counts = model(batch), model.label_counts(batch)
    return torch.stack([sums[stream] / (counts[stream] or 1) for stream in model.stream_weights])


def _merge(model: Model) -> None:
    try:
        merge_lora(model)
    except ValueError as error:
        raise CheckpointError(f"the merged weights are not finite ({error}); choose another checkpoint") from error


def _round(model: Model, dtype: torch.dtype) -> None:
    for tensor in model.state_dict().values():
        tensor.copy_(tensor.to(dtype))


def _verify(
    folder: Path, loaded: LoadedRun, samples: Sequence[Sample], before: Sequence[Tensor], *, merged: bool
) -> Verification:
    options = loaded.family.exported(loaded.recipe.model.options)
    model = loaded.family.load(str(folder), options, dtype=torch.float32)
    layout = loaded.family.layout(model, options, loaded.recipe.data.task)
    after = [_losses(model, layout, sample) for sample in samples]
    difference = max(float((a - b).abs().max()) for a, b in zip(after, before, strict=True))
    tolerance = MERGE_TOLERANCE if merged else 0.0
    if not difference <= tolerance:
        raise CheckpointError(
            f"the written folder gives other losses than the run (difference {difference:.2e}, allowed {tolerance:g}); "
            "nothing was kept. Please report this"
        )
    equal = None if merged else _equal_tensors(loaded.model, model)
    return Verification([sample.key for sample in samples], difference, tolerance, equal)


def _equal_tensors(trained: Model, written: Model) -> int:
    ours, theirs = trained.state_dict(), written.state_dict()
    if odd := sorted(ours.keys() ^ theirs.keys()):
        raise CheckpointError(f"the written folder has other tensors than the run, first of all {odd[0]}")
    if different := [name for name in ours if not torch.equal(ours[name], theirs[name])]:
        raise CheckpointError(f"{len(different)} tensors changed in writing, first of all {different[0]}")
    return len(ours)


def _files(folder: Path) -> dict[str, Any]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": sha256(path)} for path in paths
    }
