"""A model that is ready to answer: where it comes from, on which device, in which precision."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from voxtune.errors import VoxtuneError
from voxtune.families.family import Family, Layout, Model
from voxtune.families.recognition import recognise
from voxtune.training.run_folder import is_run, load_run

Precision = Literal["fp32", "bf16", "fp16"]
DTYPES: dict[str, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class ReadyModel:
    """A model with its token layout, on the device where it computes."""

    family: Family
    model: Model
    layout: Layout
    device: torch.device


def load_model(
    source: str,
    verb: str | None,
    *,
    device: str | None = None,
    precision: Precision = "fp32",
    checkpoint: Literal["best", "last"] = "best",
) -> ReadyModel:
    """Load a model for what `verb` does: the folder of a run, an exported or published folder, a hub id, or "tiny".

    verb: None = whatever it can do; "tiny" is several models and needs one.
    device: None = the best there is (CUDA, then Apple's GPU, then the CPU). checkpoint: which one of a run.
    Raises VoxtuneError when there is no such model or device, or when the model cannot do it.
    """
    place = find_device(device)
    dtype = DTYPES[precision]
    if is_run(Path(source)):
        run = load_run(Path(source), checkpoint)
        family, model, layout = run.family, run.model, run.layout
        for parameter in model.parameters():  # buffers, such as rotary frequencies, stay in float32
            parameter.data = parameter.data.to(dtype)
    else:
        family = recognise(source, verb)
        options = family.options()
        model = family.load(source, options, dtype=dtype)
        layout = family.layout(model, options, family.tasks[0])
    if verb is not None and verb not in family.verbs:
        raise VoxtuneError(f"{source}: {family.name} cannot {verb}; it can {', '.join(family.verbs)}")
    return ReadyModel(family, model.to(place).eval(), layout, place)


def find_device(name: str | None) -> torch.device:
    """A device by name; None = CUDA, then Apple's GPU, then the CPU. Raises VoxtuneError when it is not there."""
    if name is None:
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise VoxtuneError(f"device {name!r} cannot be used here ({str(error).splitlines()[0]}); try cpu") from error
    return device
