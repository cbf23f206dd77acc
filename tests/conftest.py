"""Fixtures that every room of tests may use."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from transformers import AutoTokenizer

import voxtune.families.fun_asr_nano
from voxtune.families.fun_asr_nano.config import FunAsrNanoConfig, Options
from voxtune.families.fun_asr_nano.layout import AsrLayout
from voxtune.families.fun_asr_nano.model import FunAsrNano
from voxtune.parts.ctc_tokenizer import CtcTokenizer
from voxtune.parts.kaldi_frontend import FrontendConfig
from voxtune.parts.sanm import SanmConfig
from voxtune.parts.transformer_adaptor import AdaptorConfig

TINY = Path(voxtune.families.fun_asr_nano.__path__[0]) / "tiny"


class TinyAsr(NamedTuple):
    """A Fun-ASR-Nano of a few thousand random parameters with a CTC branch, and its layout."""

    model: FunAsrNano
    layout: AsrLayout


def build_tiny_asr(options: Options | None = None, *, ctc: bool = True, seed: int = 0) -> TinyAsr:
    """The same model for the same seed. Its tokenizers are those of the built-in model."""
    options = options or Options()
    tokenizer = AutoTokenizer.from_pretrained(TINY / "Qwen3-0.6B")
    ctc_tokenizer = CtcTokenizer(TINY / "multilingual.tiktoken")
    config = FunAsrNanoConfig(
        frontend=FrontendConfig(),
        encoder=SanmConfig(
            output_size=16,
            attention_heads=2,
            linear_units=16,
            num_blocks=2,
            tp_blocks=1,
            dropout=0,
            attention_dropout=0,
        ),
        adaptor=AdaptorConfig(encoder_dim=16, llm_dim=32, ffn_dim=16, n_layer=1, attention_heads=2),
        llm={
            "vocab_size": len(tokenizer),
            "hidden_size": 32,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "head_dim": 16,
            "max_position_embeddings": 4096,
            "tie_word_embeddings": True,
        },
        ctc_decoder=AdaptorConfig(encoder_dim=16, llm_dim=16, ffn_dim=16, n_layer=1, attention_heads=2)
        if ctc
        else None,
        ctc_vocabulary=len(ctc_tokenizer.ranks) + 1 if ctc else 0,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = FunAsrNano(config, ctc_weight=options.ctc_weight)
    return TinyAsr(model, AsrLayout(config, options, tokenizer, None, ctc_tokenizer if ctc else None))


@pytest.fixture
def tiny_asr() -> TinyAsr:
    """A fresh tiny model in training mode, as a loop would hold it, with its layout."""
    return build_tiny_asr()
