"""New rows for the text embeddings: for another tokenizer, also one of another size.

Source: nu-dialogue/moshi-finetune, tools/init_moshi_for_ft.py (--init_text_embeddings).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from voxtune.errors import CheckpointError
from voxtune.families.moshi.config import LmConfig

EMBEDDINGS = ("text_emb.weight", "depformer_text_emb.weight")
HEAD = "text_linear.weight"
SPREAD = 1e-5
"""Of the old rows' covariance."""


def redrawn(
    state: Mapping[str, Tensor], config: LmConfig, size: int, retained: Sequence[int]
) -> tuple[dict[str, Tensor], LmConfig]:
    """A state dict of ours with text embeddings for a tokenizer of `size` tokens, always the same for the same input.

    Rows of the `retained` tokens and of the initial token are copied. The output matrix is left as it is where the
    size stays (upstream does that, too), else it is drawn in the same way.
    Raises CheckpointError when a retained token is not in both vocabularies.
    """
    if outside := [token for token in retained if token >= min(size, config.text_card) and token != config.text_card]:
        raise CheckpointError(
            f"model.retain_text_token_ids: {outside[0]} is not a token of both the checkpoint ({config.text_card} "
            f"tokens) and the tokenizer ({size})"
        )
    kept = {token: token for token in retained if token != config.text_card}
    new = dict(state)
    for seed, name in enumerate(EMBEDDINGS):
        new[name] = _rows_like(state[name], size + 1, kept | {config.text_card: size}, seed)
    if size != config.text_card:
        new[HEAD] = _rows_like(state[HEAD], size, kept, len(EMBEDDINGS))
        config = replace(config, text_card=size, text_card_out=None)
    return new, config


def distribution(rows: Tensor) -> tuple[Tensor, Tensor]:
    """What new rows are drawn from, float64: the mean of the old ones [width], and a factor F [k, width].

    FᵀF is `SPREAD` times the old rows' covariance. By a QR decomposition, which few rows do not make singular.
    """
    rows = rows.double()
    mean = rows.mean(0)
    factor = torch.linalg.qr(rows - mean, mode="r").R
    return mean, factor * math.sqrt(SPREAD / len(rows))


def _rows_like(old: Tensor, count: int, kept: Mapping[int, int], seed: int) -> Tensor:
    """New rows [count, width]; `kept`: places of rows in `old`, and where they go."""
    mean, factor = distribution(old)
    noise = torch.randn(count, len(factor), dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    new = (mean + noise @ factor).to(old.dtype)
    new[list(kept.values())] = old[list(kept)]
    return new
