"""Tensor names of upstream's layouts, and ours.

published: what is on the hub; attention of the depth transformer has all steps in one matrix.
modules: moshi 0.2.x in memory, and kyutai's fine-tuner; each step has matrices of its own. LoRA files have these names.
fine-tuning: nu-dialogue's; as published, but some weights are parameters of the module around them.
Ours has one tensor [sets, ...] where upstream has one a step or stream.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from voxtune.families.moshi.config import LmConfig

MODULES = {
    "emb.{set}": "emb",
    "depformer_emb.{set}.low_rank": "depformer_low_rank",
    "depformer_emb.{set}": "depformer_emb",
    "depformer_text_emb.low_rank": "depformer_text_low_rank",
    "depformer_in.{set}": "depformer_in",
    "linears.{set}": "linears",
    "transformer.layers.{layer}.self_attn.in_projs.0": "transformer.layers.{layer}.self_attn.in_proj",
    "transformer.layers.{layer}.self_attn.out_projs.0": "transformer.layers.{layer}.self_attn.out_proj",
    "depformer.layers.{layer}.self_attn.in_projs.{set}": "depformer.layers.{layer}.self_attn.in_proj",
    "depformer.layers.{layer}.self_attn.out_projs.{set}": "depformer.layers.{layer}.self_attn.out_proj",
    "depformer.layers.{layer}.gating.{set}.linear_in": "depformer.layers.{layer}.gating.linear_in",
    "depformer.layers.{layer}.gating.{set}.linear_out": "depformer.layers.{layer}.gating.linear_out",
}
"""Modules of upstream's and where they are in ours; all others have the same name."""


def _pattern(template: str) -> re.Pattern[str]:
    escaped = re.escape(template).replace(r"\{set\}", r"(?P<set>\d+)").replace(r"\{layer\}", r"(?P<layer>\d+)")
    return re.compile(rf"{escaped}\.(?P<rest>.*)")


THEIRS = [(_pattern(theirs), ours) for theirs, ours in MODULES.items()]
OURS = [(_pattern(ours), theirs) for theirs, ours in MODULES.items()]
PROJECTION = re.compile(
    r"(?P<stack>transformer|depformer)(?P<layer>\.layers\.\d+\.self_attn)\.(?P<side>in|out)_proj[._]weight"
)
GATED_ROWS = ("linear_in.weight", "linear_in.lora_B.weight")
GATED_COLUMNS = ("linear_out.weight", "linear_out.lora_A.weight")
"""Tensors of gated layers with a row or column for each of their inner values."""
PROJECTIONS = re.compile(r"(?P<module>.*\.self_attn)\.(?P<side>in|out)_projs\.(?P<set>\d+)\.weight")


def to_modules(tensors: Mapping[str, Tensor], config: LmConfig) -> dict[str, Tensor]:
    """Any of upstream's layouts in the names of moshi 0.2.x; names that belong to none stay."""
    modules: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if (fused := PROJECTION.fullmatch(name)) is None:
            modules[re.sub(r"(linear_in|linear_out)_weight$", r"\1.weight", name)] = tensor
            continue
        sets = 1 if fused["stack"] == "transformer" else max(config.schedule) + 1
        parts = tensor.chunk(sets) if len(tensor) % sets == 0 else (tensor,)
        for number, part in enumerate(parts):
            modules[f"{fused['stack']}{fused['layer']}.{fused['side']}_projs.{number}.weight"] = part
    return modules


def to_published(modules: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The names of moshi 0.2.x in the published layout."""
    published: dict[str, Tensor] = {}
    fused: dict[str, dict[int, Tensor]] = defaultdict(dict)
    for name, tensor in modules.items():
        if found := PROJECTIONS.fullmatch(name):
            key = f"{found['module']}.in_proj_weight" if found["side"] == "in" else f"{found['module']}.out_proj.weight"
            fused[key][int(found["set"])] = tensor
        else:
            published[name] = tensor
    for name, sets in fused.items():
        published[name] = torch.cat([sets[number] for number in sorted(sets)]) if len(sets) > 1 else sets[0]
    return published


def to_fine_tuning(published: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The published layout under nu-dialogue's names."""

    def renamed(name: str) -> str:
        name = re.sub(r"(linear_in|linear_out)\.weight$", r"\1_weight", name)
        return re.sub(r"^(depformer\..*out_proj)\.weight$", r"\1_weight", name)

    return {renamed(name): tensor for name, tensor in published.items()}


def to_ours(modules: Mapping[str, Tensor], config: LmConfig, dtype: torch.dtype | None = None) -> dict[str, Tensor]:
    """The names of moshi 0.2.x in ours, stacked; tensors of a stack that is not whole or not of one shape stay.

    dtype: copy each into memory of its own, in this type, one after the other.
    """
    ours: dict[str, Tensor] = {}
    stacks: dict[str, dict[int, str]] = defaultdict(dict)
    for name, tensor in modules.items():
        our_name, number = place(name)
        if number is None:
            flat = tensor.flatten() if our_name.endswith(".alpha") else tensor
            ours[our_name] = flat if dtype is None else flat.to(dtype, copy=True)
        else:
            stacks[our_name][number] = name
    for our_name, names in stacks.items():
        parts = [modules[names[number]] for number in sorted(names)]
        if ".gating." in our_name and our_name.endswith(GATED_ROWS):
            parts = [_widened_in(part, max(config.depth_widths)) for part in parts]
        elif ".gating." in our_name and our_name.endswith(GATED_COLUMNS):
            parts = [F.pad(part, (0, max(config.depth_widths) - part.shape[1])) for part in parts]
        if sorted(names) == list(range(len(names))) and len({part.shape for part in parts}) == 1:
            stacked = torch.stack(parts)
            ours[our_name] = stacked if dtype is None else stacked.to(dtype)
        else:
            ours |= {name: modules[name] for name in names.values()}
    return ours


def from_ours(state: Mapping[str, Tensor], config: LmConfig) -> dict[str, Tensor]:
    """Ours in the names of moshi 0.2.x."""
    modules: dict[str, Tensor] = {}
    for name, tensor in state.items():
        for pattern, theirs in OURS:
            if (found := pattern.fullmatch(name)) is None:
                continue
            fields = {"layer": found.groupdict().get("layer", "")}
            if "{set}" not in theirs:
                modules[f"{theirs.format(**fields)}.{found['rest']}"] = tensor
                break
            for number, part in enumerate(tensor):
                part = _narrowed(name, part, config.depth_widths[number]) if ".gating." in name else part
                modules[f"{theirs.format(set=number, **fields)}.{found['rest']}"] = part
            break
        else:
            modules[name] = tensor[None, None] if name.endswith(".alpha") else tensor
    return modules


def place(name: str) -> tuple[str, int | None]:
    """Our name of a tensor of moshi 0.2.x, and its number in the stack."""
    for pattern, ours in THEIRS:
        if found := pattern.fullmatch(name):
            fields = found.groupdict()
            module = ours.format(layer=fields.get("layer", ""))
            return f"{module}.{found['rest']}", int(fields["set"]) if "set" in fields else None
    return name, None


def _widened_in(weight: Tensor, rows: int) -> Tensor:
    """Both halves of a gated layer filled up with zeros to `rows` each."""
    return torch.cat([F.pad(half, (0, 0, 0, rows - len(half))) for half in weight.chunk(2)])


def _narrowed(name: str, weight: Tensor, rows: int) -> Tensor:
    """A weight set of a gated layer without the zeros that filled it up."""
    if name.endswith(GATED_ROWS):
        return torch.cat([half[:rows] for half in weight.chunk(2)])
    return weight[:, :rows] if name.endswith(GATED_COLUMNS) else weight
