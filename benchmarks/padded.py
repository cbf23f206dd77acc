"""The baseline: the same weights over right-padded batches, logits at every position, as the upstream trainers do."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from voxtune.data.example import IGNORED, Example
from voxtune.families.fun_asr_nano.model import FunAsrNano
from voxtune.parts.sanm import SanmBlock, SanmEncoder, sinusoids
from voxtune.parts.transformer_adaptor import AdaptorBlock, TransformerAdaptor


def padded_loss(model: FunAsrNano, examples: list[Example]) -> Tensor:
    """Mean loss of examples with one recording each, computed on padded tensors with full logits."""
    rows = [example.audio[0].features for example in examples]
    tokens = pad_sequence([example.tokens[0] for example in examples], batch_first=True)
    labels = pad_sequence([example.labels[0] for example in examples], batch_first=True, padding_value=IGNORED)
    heard = _mask([len(r) for r in rows])
    adapted = adapt(
        model.audio_adaptor, encode(model.audio_encoder, pad_sequence(rows, batch_first=True), heard), heard
    )
    embeddings = model.llm.get_input_embeddings()(tokens).clone()
    for row, example in enumerate(examples):
        audio = example.audio[0]
        embeddings[row, audio.start : audio.start + audio.frames] = adapted[row, : audio.frames]
    written = _mask([example.frames for example in examples])
    model.llm.set_attn_implementation("sdpa")
    loss: Tensor = model.llm(
        inputs_embeds=embeddings, attention_mask=written.long(), labels=labels, use_cache=False
    ).loss
    return loss


def encode(encoder: SanmEncoder, rows: Tensor, heard: Tensor) -> Tensor:
    """Encoder frames of padded rows [batch, time, width]; `heard` [batch, time] is true where there is audio."""
    positions = sinusoids(torch.arange(1, rows.shape[1] + 1), rows.shape[2])
    x = rows * encoder.config.output_size**0.5 + positions
    for block in [*encoder.encoders0, *encoder.encoders]:
        x = _sanm_block(block, x, heard)
    x = encoder.after_norm(x)
    for block in encoder.tp_encoders:
        x = _sanm_block(block, x, heard)
    normed: Tensor = encoder.tp_norm(x)
    return normed


def adapt(adaptor: TransformerAdaptor, frames: Tensor, heard: Tensor) -> Tensor:
    """Adaptor frames of padded encoder frames (downsample_rate 1)."""
    x: Tensor = adaptor.linear2(adaptor.linear1(frames).relu())
    for block in adaptor.blocks:
        assert isinstance(block, AdaptorBlock)
        attention, y = block.self_attn, block.norm1(x)
        q, k, v = (
            _heads(linear(y), attention.heads)
            for linear in (attention.linear_q, attention.linear_k, attention.linear_v)
        )
        x = x + attention.linear_out(_attend(q, k, v, heard))
        x = x + block.feed_forward(block.norm2(x))
    return x


def _sanm_block(block: torch.nn.Module, x: Tensor, heard: Tensor) -> Tensor:
    assert isinstance(block, SanmBlock)
    attention = block.self_attn
    q, k, v = attention.linear_q_k_v(block.norm1(x)).chunk(3, -1)
    v = v * heard[..., None]
    right = attention.fsmn_block.kernel_size[0] - 1 - attention.left
    memory = attention.fsmn_block(F.pad(v.transpose(1, 2), (attention.left, right))).transpose(1, 2) + v
    attended = _attend(*(_heads(t, attention.heads) for t in (q, k, v)), heard)
    h = attention.linear_out(attended) + memory
    h = x + h if block.residual else h
    out: Tensor = h + block.feed_forward(block.norm2(h))
    return out


def _heads(x: Tensor, heads: int) -> Tensor:
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def _attend(q: Tensor, k: Tensor, v: Tensor, heard: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, attn_mask=heard[:, None, None, :]).transpose(1, 2).flatten(2)


def _mask(lengths: list[int]) -> Tensor:
    return torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
