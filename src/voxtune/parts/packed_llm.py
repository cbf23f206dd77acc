"""transformers' language models over packed sequences: their attention, with our walls.

Importing this module registers the attention implementation named PACKED with transformers. With a `segments`
keyword in the model's forward it attends inside each segment; without, it is transformers' own SDPA (generation).
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from voxtune.parts.attention import Segments, packed_attention

PACKED = "voxtune_packed"


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    segments: Segments | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    if segments is None:
        out, _ = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
        return out, None
    q, k, v = (x[0].transpose(0, 1) for x in (query, key, value))
    return packed_attention(q, k, v, segments, causal=True, scale=scaling, dropout=dropout)[None], None


AttentionInterface.register(PACKED, _attention)
AttentionMaskInterface.register(PACKED, sdpa_mask)


def packed_hidden_states(llm: PreTrainedModel, embeddings: Tensor, segments: Segments) -> Tensor:
    """Last hidden states [N, width] of packed embeddings [N, width]: positions restart, nobody sees a neighbour."""
    kinds = set(llm.config.layer_types)
    out = llm.get_decoder()(
        inputs_embeds=embeddings[None],
        attention_mask=dict.fromkeys(kinds),
        position_ids=segments.position[None],
        use_cache=False,
        segments=segments,
    )
    return out.last_hidden_state[0]  # type: ignore[no-any-return]
