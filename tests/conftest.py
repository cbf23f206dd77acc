"""Fixtures that every room of tests may use."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
import yaml
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
            "initializer_range": 0.5,  # far apart, so that answers depend on what is heard
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


@pytest.fixture(scope="session")
def tiny_asr_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model in upstream's layout: config.yaml, model.pt, tokenizers."""
    model, layout = build_tiny_asr()
    config, folder = layout.config, tmp_path_factory.mktemp("tiny_asr")
    shutil.copytree(TINY / "Qwen3-0.6B", folder / "Qwen3-0.6B")
    shutil.copy(TINY / "multilingual.tiktoken", folder)
    (folder / "Qwen3-0.6B" / "config.json").write_text(json.dumps({**config.llm, "model_type": "qwen3"}))
    encoder, adaptor, ctc = config.encoder, config.adaptor, config.ctc_decoder
    assert ctc is not None
    settings = {
        "frontend_conf": {"fs": 16000, "n_mels": 80, "lfr_m": 7, "lfr_n": 6},
        "audio_encoder_conf": {
            "output_size": encoder.output_size,
            "attention_heads": encoder.attention_heads,
            "linear_units": encoder.linear_units,
            "num_blocks": encoder.num_blocks,
            "tp_blocks": encoder.tp_blocks,
            "dropout_rate": 0.0,
        },
        "audio_adaptor_conf": {**_sizes(adaptor), "use_low_frame_rate": True},
        "ctc_decoder": "Transformer",
        "ctc_decoder_conf": _sizes(ctc),
        "ctc_vocab_size": config.ctc_vocabulary,
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    torch.save(model.state_dict(), folder / "model.pt")
    return folder


def _sizes(adaptor: AdaptorConfig) -> dict[str, int]:
    names = ("downsample_rate", "encoder_dim", "llm_dim", "ffn_dim", "n_layer", "attention_heads")
    return {name: getattr(adaptor, name) for name in names}
