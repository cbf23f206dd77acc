"""The json files of a Moshi folder: sizes of the language model, and what stands beside them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from voxtune.data.sample import Strict
from voxtune.errors import CheckpointError
from voxtune.families.moshi.config import FIXED, LmConfig

CONFIG = "config.json"
LM_KWARGS = "moshi_lm_kwargs.json"
NOTES = "voxtune.json"

BESIDE = (
    "moshi_name", "mimi_name", "mimi_config_name", "tokenizer_name", "lora_name", "model_type", "model_id",
    "lm_gen_config", "tts_config", "stt_config", "lora", "lora_rank", "lora_scaling", "existing_text_end_padding_id",
)  # fmt: skip
"""Keys of upstream's config.json that are not the language model's sizes."""

PUBLISHED_FIXED = (
    "causal", "layer_scale", "gating", "positional_embedding", "depformer_causal", "depformer_layer_scale",
    "depformer_multi_linear", "depformer_gating", "depformer_pos_emb", "depformer_weights_per_step",
)  # fmt: skip
"""Keys with one meaning here, but which upstream wants to be told."""

VARIANTS = (
    "kv_repeat", "text_card_out", "depformer_kv_repeat", "depformer_norm", "depformer_weights_per_step_schedule",
    "depformer_low_rank_embeddings",
)  # fmt: skip
"""Keys that upstream knows since 0.2; written only where they say something."""


class Notes(Strict):
    """What our exports keep that upstream has no place for, in a file that it does not read.

    user_stream: the sizes that differ from config.json's when user_stream.safetensors is put back.
    """

    end_of_text_padding_id: int = Field(0, ge=0)
    whitespace_before_word: bool = True
    user_stream: dict[str, Any] | None = None


@dataclass(frozen=True)
class FolderConfig:
    """lm: the language model's keyword arguments; beside: upstream's other keys (`BESIDE`); path: where they stand."""

    path: Path
    lm: dict[str, Any] = field(default_factory=dict)
    beside: dict[str, Any] = field(default_factory=dict)
    notes: Notes = field(default_factory=Notes)

    @property
    def published(self) -> LmConfig:
        """Sizes of what lies in the folder's main file of weights."""
        return LmConfig.from_dict(self.lm, str(self.path))

    @property
    def whole(self) -> LmConfig:
        """The same with the user's stream, where our export keeps it in a file of its own."""
        return LmConfig.from_dict(self.lm | (self.notes.user_stream or {}), str(self.path))


def read_folder_config(folder: Path) -> FolderConfig:
    """Read config.json, else moshi_lm_kwargs.json; a folder without either holds a published 7B model.

    Raises CheckpointError when a file is damaged, or describes another kind of model (Hibiki, speech recognition).
    """
    path = next((folder / name for name in (CONFIG, LM_KWARGS) if (folder / name).is_file()), folder)
    content = read_mapping(path) if path != folder else {}
    beside = {key: content.pop(key) for key in BESIDE if key in content}
    if (kind := beside.get("model_type", "moshi")) != "moshi":
        raise CheckpointError(f"{path}: model_type = {kind!r}; only moshi can be loaded")
    return FolderConfig(path, content, beside, _read_notes(folder / NOTES))


def read_mapping(path: Path) -> dict[str, Any]:
    """A json file that holds a mapping. Raises CheckpointError."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} is missing; is {path.parent} complete?") from error
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be read ({error})") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: holds no mapping")
    return content


def lm_kwargs(config: LmConfig) -> dict[str, Any]:
    """Upstream's keyword arguments of a language model, in the keys of moshi_lm_kwargs.json."""
    sizes = asdict(config)
    plain = asdict(LmConfig())
    variants = {key: sizes.pop(key) for key in VARIANTS}
    delays = sizes.pop("delays")
    fixed = {key: FIXED[key][0] for key in PUBLISHED_FIXED}
    return sizes | fixed | {"delays": delays} | {key: v for key, v in variants.items() if v != plain[key]}


def differing(whole: Mapping[str, Any], cut: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of `whole` that `cut` has otherwise, or not at all."""
    return {key: value for key, value in whole.items() if key not in cut or cut[key] != value}


def _read_notes(path: Path) -> Notes:
    if not path.is_file():
        return Notes()
    try:
        return Notes.model_validate(read_mapping(path))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise CheckpointError(f"{path}: {where}: {first['msg']}") from error
