"""Folders of Moshi to models, strictly. (`upstream_folder.py` is the way back.)

Reads what is published (kyutai's and J-Moshi's), what upstream's two fine-tuners write, and what we export.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from voxtune.errors import CheckpointError
from voxtune.families.moshi.assets import Assets, read_assets
from voxtune.families.moshi.config import LmConfig, Options
from voxtune.families.moshi.folder_config import CONFIG, LM_KWARGS, read_folder_config, read_mapping
from voxtune.families.moshi.model import Moshi
from voxtune.families.moshi.stored import WEIGHTS, build, read_stored
from voxtune.families.moshi.tensor_names import to_ours
from voxtune.families.moshi.text_embeddings import redrawn
from voxtune.families.moshi.user_stream import extended

PATTERNS = ("*.json", "*.safetensors", "*.model")
"""Files of a hub model that are needed."""

SIZES = {"dim", "n_q", "dep_q", "depformer_dim"}
TENSORS = {"text_emb.weight", "emb.0.weight", "text_linear.weight", "depformer_in.0.weight"}


def is_moshi_folder(folder: Path) -> bool:
    """Whether a folder holds Moshi's language model, by the sizes in its json files or the names in its weights."""
    for name in (CONFIG, LM_KWARGS):
        if (folder / name).is_file():
            try:
                return read_mapping(folder / name).keys() >= SIZES
            except CheckpointError:
                return False
    try:
        with safe_open(folder / WEIGHTS, framework="pt") as file:
            return set(file.keys()) >= TENSORS
    except (OSError, SafetensorError):
        return False


def load_folder(folder: Path, options: Options, *, dtype: torch.dtype = torch.float32) -> Moshi:
    """The model of a folder, every parameter in `dtype`, in eval mode, with its `assets`.

    LoRA beside the weights stays beside them. `extend_for_user_stream` does nothing where the user's stream is there
    already; `new_text_embeddings` always draws anew, the same rows each time. Two calls give the same model.
    Raises CheckpointError when a file is missing or damaged, when a tensor is missing, left over or of another shape,
    or when codec, tokenizer and language model do not belong together.
    """
    config = read_folder_config(folder)
    stored = read_stored(folder, config)
    lm = stored.config
    if options.text_padding_id is not None:
        lm = replace(lm, existing_text_padding_id=options.text_padding_id)
    assets = read_assets(folder, config, lm, options)
    _check_vocabulary(assets, lm, options)

    state = to_ours(stored.modules, lm, dtype)
    if options.extend_for_user_stream and not lm.user_stream:
        state, lm = extended(state, lm)
    if options.new_text_embeddings:
        state, lm = redrawn(state, lm, assets.tokenizer.size, options.retain_text_token_ids)
    model = build(state, lm, stored.adapters, config.path)
    model.options, model.assets = options, assets
    return model


def _check_vocabulary(assets: Assets, lm: LmConfig, options: Options) -> None:
    size = assets.tokenizer.size
    if size != lm.text_card and not options.new_text_embeddings:
        raise CheckpointError(
            f"{assets.tokenizer_file}: {size} tokens, but the checkpoint was trained with {lm.text_card}. Take its own "
            "tokenizer, or set model.new_text_embeddings to true to learn another one"
        )
