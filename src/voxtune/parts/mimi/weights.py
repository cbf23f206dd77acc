"""Names of Mimi's weights: every naming in the world to the published one, which is that of `Mimi`."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

IN_MEMORY = {".in_projs.0.weight": ".in_proj_weight", ".out_projs.0.weight": ".out_proj.weight"}
"""Names of moshi 0.2.x in memory."""

OLD_CODEBOOKS = {
    "inited": "_initialized",
    "cluster_size": "cluster_usage",
    "embed_avg": "embedding_sum",
    "embed_sum": "embedding_sum",
}
"""Names of codebooks before moshi was published."""


def published_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under published names; names that are neither old nor in-memory ones stay as they are.

    Source: kyutai-labs/moshi, quantization/core_vq.py and modules/transformer.py (their hooks on loading).
    """
    return {_published(name): tensor for name, tensor in tensors.items()}


def _published(name: str) -> str:
    for ending, published in IN_MEMORY.items():
        if name.endswith("self_attn" + ending):
            return name.removesuffix(ending) + published
    if match := re.fullmatch(rf"(.*\._codebook\.)({'|'.join(OLD_CODEBOOKS)})", name):
        return match[1] + OLD_CODEBOOKS[match[2]]
    return name
