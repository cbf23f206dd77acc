"""Write the untrained language model of the built-in Moshi: `python demo/moshi/make_model.py`.

Written to src/voxtune/families/moshi/tiny: config.json in upstream's form, with every size small but the number of
streams and the delays as published, and model.safetensors with random bfloat16 weights under the published names.
It knows nothing: the demo trains it. Attention reaches 32 frames back in each layer, about a turn: it finds what the
partner has asked sooner than among all frames.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from make_codec import CODEC, CODEC_CONFIG
from make_tokenizer import TOKENIZER, TOKENS
from safetensors.torch import save_file
from torch import Tensor

from voxtune.files import atomic_write, write_json
from voxtune.parts.gated_transformer import gated_width

TINY = Path(__file__).parents[2] / "src/voxtune/families/moshi/tiny"
MODEL = TINY / "model.safetensors"

SEED = 32
SPREAD = {"text": 1.0, "partner": 1.0, "own": 0.3, "detail": 0.1, "depth": 0.2}
"""Of embeddings. Those of all streams are added: the text, and what alone tells what the partner says, the partner's
first code, have to stand out from 14 codes that are details of the sound."""

CONFIG: dict[str, Any] = {
    "dim": 128, "text_card": TOKENS, "existing_text_padding_id": 3, "n_q": 16, "dep_q": 8, "card": 256,
    "num_heads": 4, "num_layers": 3, "hidden_scale": 3.0, "causal": True, "layer_scale": None, "context": 32,
    "max_period": 10000, "gating": "silu", "norm": "rms_norm_f32", "positional_embedding": "rope",
    "depformer_dim": 48, "depformer_dim_feedforward": 96, "depformer_num_heads": 4, "depformer_num_layers": 1,
    "depformer_causal": True, "depformer_layer_scale": None, "depformer_multi_linear": True, "depformer_context": 8,
    "depformer_max_period": 10000, "depformer_gating": "silu", "depformer_pos_emb": "none",
    "depformer_weights_per_step": True, "delays": [0, 0, 1, 1, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1],
    "moshi_name": MODEL.name, "mimi_name": CODEC.name, "mimi_config_name": CODEC_CONFIG.name,
    "tokenizer_name": TOKENIZER.name,
}  # fmt: skip


def weights() -> Iterator[tuple[str, Tensor]]:
    """Every weight under its published name, drawn at random."""
    dim, depth_dim, steps = CONFIG["dim"], CONFIG["depformer_dim"], CONFIG["dep_q"]
    yield "text_emb.weight", embedding(TOKENS + 1, dim, SPREAD["text"])
    first = {0: "own", CONFIG["n_q"] // 2: "partner"}
    for stream in range(CONFIG["n_q"]):
        yield f"emb.{stream}.weight", embedding(CONFIG["card"] + 1, dim, SPREAD[first.get(stream, "detail")])
    for layer in range(CONFIG["num_layers"]):
        name = f"transformer.layers.{layer}"
        yield from attention(name, dim, 1)
        yield from gated(f"{name}.gating", dim, int(CONFIG["hidden_scale"] * dim))
    yield "out_norm.alpha", torch.ones(1, 1, dim)
    yield "text_linear.weight", linear(TOKENS, dim)
    yield "depformer_text_emb.weight", embedding(TOKENS + 1, depth_dim, SPREAD["text"])
    for step in range(steps):
        yield f"depformer_in.{step}.weight", linear(depth_dim, dim)
        yield f"linears.{step}.weight", linear(CONFIG["card"], depth_dim)
        if step:
            yield f"depformer_emb.{step - 1}.weight", embedding(CONFIG["card"] + 1, depth_dim, SPREAD["depth"])
    for layer in range(CONFIG["depformer_num_layers"]):
        name = f"depformer.layers.{layer}"
        yield from attention(name, depth_dim, steps)
        for step in range(steps):
            yield from gated(f"{name}.gating.{step}", depth_dim, CONFIG["depformer_dim_feedforward"])


def attention(layer: str, dim: int, steps: int) -> Iterator[tuple[str, Tensor]]:
    """The attention weights of all steps, stacked, and both norms of a layer."""
    yield f"{layer}.self_attn.in_proj_weight", linear(steps * 3 * dim, dim)
    yield f"{layer}.self_attn.out_proj.weight", linear(steps * dim, dim)
    yield f"{layer}.norm1.alpha", torch.ones(1, 1, dim)
    yield f"{layer}.norm2.alpha", torch.ones(1, 1, dim)


def gated(name: str, dim: int, feedforward: int) -> Iterator[tuple[str, Tensor]]:
    """A gated feed-forward layer."""
    hidden = gated_width(feedforward, dim)
    yield f"{name}.linear_in.weight", linear(2 * hidden, dim)
    yield f"{name}.linear_out.weight", linear(dim, hidden)


def embedding(rows: int, dim: int, spread: float) -> Tensor:
    """Normally distributed."""
    return spread * torch.randn(rows, dim)


def linear(outputs: int, inputs: int) -> Tensor:
    """Uniform between plus and minus 1 / sqrt(inputs)."""
    return (2 * torch.rand(outputs, inputs) - 1) / inputs**0.5


def main() -> None:
    """Write both files."""
    torch.manual_seed(SEED)
    state = {name: tensor.to(torch.bfloat16) for name, tensor in weights()}
    write_json(TINY / "config.json", CONFIG)
    with atomic_write(MODEL) as temporary:
        save_file(state, temporary)
    parameters = sum(tensor.numel() for tensor in state.values())
    print(f"{MODEL}: {len(state)} tensors, {parameters} parameters, {MODEL.stat().st_size} bytes")


if __name__ == "__main__":
    main()
