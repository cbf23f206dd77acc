"""transformers' language models over packed sequences."""

from __future__ import annotations

import pytest
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from voxtune.parts.attention import Segments
from voxtune.parts.packed_llm import PACKED, packed_hidden_states

LENGTHS = [6, 1, 9]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def llm() -> Qwen3ForCausalLM:
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "head_dim": 8, "vocab_size": 40}
    config = Qwen3Config(**sizes, num_attention_heads=4, num_key_value_heads=2, initializer_range=0.3)
    return Qwen3ForCausalLM._from_config(config, attn_implementation=PACKED).eval()


@pytest.fixture
def embeddings() -> torch.Tensor:
    return torch.randn(sum(LENGTHS), 32, generator=torch.Generator().manual_seed(1))


def test_packed_is_alone_in_transformers_own_attention(llm: Qwen3ForCausalLM, embeddings: torch.Tensor) -> None:
    """What a sequence gives in a pack is what the plain model gives for it: positions restart, walls hold."""
    with torch.no_grad():
        packed = packed_hidden_states(llm, embeddings, Segments(LENGTHS, CPU)).split(LENGTHS)
        llm.set_attn_implementation("sdpa")
        alone = [llm.model(inputs_embeds=part[None]).last_hidden_state[0] for part in embeddings.split(LENGTHS)]
        llm.set_attn_implementation(PACKED)
    for ours, theirs in zip(packed, alone, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)


def test_a_neighbour_and_the_future_change_nothing(llm: Qwen3ForCausalLM, embeddings: torch.Tensor) -> None:
    with torch.no_grad():
        before = packed_hidden_states(llm, embeddings, Segments(LENGTHS, CPU))
        embeddings[3] += 1
        after = packed_hidden_states(llm, embeddings, Segments(LENGTHS, CPU))
    assert torch.equal(before[:3], after[:3])
    assert torch.equal(before[6:], after[6:])
    assert not torch.allclose(before[3:6], after[3:6], atol=1e-3)


def test_gradients_stay_inside_a_sequence(llm: Qwen3ForCausalLM, embeddings: torch.Tensor) -> None:
    embeddings.requires_grad_()
    packed_hidden_states(llm, embeddings, Segments(LENGTHS, CPU))[-9:].sum().backward()
    assert embeddings.grad is not None
    assert (embeddings.grad[:7] == 0).all()
    assert (embeddings.grad[7:] != 0).any(1).all()


def test_without_segments_it_is_transformers_own_attention(llm: Qwen3ForCausalLM, embeddings: torch.Tensor) -> None:
    mask = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]])
    pair = torch.stack([embeddings[:4], embeddings[4:8]])
    with torch.no_grad():
        ours = llm(inputs_embeds=pair, attention_mask=mask).logits
        llm.set_attn_implementation("sdpa")
        theirs = llm(inputs_embeds=pair, attention_mask=mask).logits
        llm.set_attn_implementation(PACKED)
    assert torch.equal(ours[mask.bool()], theirs[mask.bool()])
