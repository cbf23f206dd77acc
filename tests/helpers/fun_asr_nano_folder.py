"""Checkpoint folders of a tiny random Fun-ASR-Nano, in upstream's layout."""

from __future__ import annotations

import json
import shutil
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor
from transformers import AutoTokenizer

import voxtune.families.fun_asr_nano
from voxtune.families.fun_asr_nano.config import TIMESTAMP_SPECIALS, config_from
from voxtune.families.fun_asr_nano.model import FunAsrNano
from voxtune.parts.ctc_tokenizer import CtcTokenizer

TINY = Path(voxtune.families.fun_asr_nano.__path__[0]) / "tiny"
"""The built-in model, whose tokenizers serve here too."""

CTC_VOCABULARY = len(CtcTokenizer(TINY / "multilingual.tiktoken").ranks) + TIMESTAMP_SPECIALS

LLM: dict[str, Any] = {
    "architectures": ["Qwen3ForCausalLM"],
    "model_type": "qwen3",
    "vocab_size": len(AutoTokenizer.from_pretrained(TINY / "Qwen3-0.6B")),
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "max_position_embeddings": 4096,
    "rope_theta": 1000000,
    "tie_word_embeddings": True,
}

SETTINGS: dict[str, Any] = {
    "model": "FunASRNano",
    "model_conf": {"lsm_weight": 0.1, "length_normalized_loss": True},
    "audio_encoder": "SenseVoiceEncoderSmall",
    "audio_encoder_conf": {
        "output_size": 16,
        "attention_heads": 2,
        "linear_units": 16,
        "num_blocks": 2,
        "tp_blocks": 1,
        "kernel_size": 11,
        "sanm_shfit": 0,
        "dropout_rate": 0.0,
        "attention_dropout_rate": 0.0,
        "input_layer": "pe",
        "normalize_before": True,
        "freeze": True,
    },
    "audio_adaptor": "Transformer",
    "audio_adaptor_conf": {
        "downsample_rate": 1,
        "use_low_frame_rate": True,
        "ffn_dim": 16,
        "llm_dim": 32,
        "encoder_dim": 16,
        "n_layer": 1,
        "attention_heads": 2,
        "freeze": True,
    },
    "llm": "Qwen3-0.6b",
    "llm_conf": {"hub": "hf", "freeze": True, "llm_dtype": "bf16", "init_param_path": "Qwen3-0.6B"},
    "ctc_decoder": "Transformer",
    "ctc_decoder_conf": {"downsample_rate": 1, "ffn_dim": 16, "llm_dim": 16, "n_layer": 1, "attention_heads": 2},
    "ctc_vocab_size": CTC_VOCABULARY,
    "frontend": "WavFrontend",
    "frontend_conf": {
        "fs": 16000,
        "window": "hamming",
        "n_mels": 80,
        "frame_length": 25,
        "frame_shift": 10,
        "lfr_m": 7,
        "lfr_n": 6,
        "cmvn_file": None,
    },
    "tokenizer": "HuggingfaceTokenizer",
    "tokenizer_conf": {"init_param_path": "${llm_conf.init_param_path}"},
    "dataset_conf": {
        "ctc_tokenizer": "SenseVoiceTokenizer",
        "ctc_tokenizer_conf": {"vocab_path": None, "is_multilingual": True, "num_languages": 8749},
    },
    "train_conf": {"effective_save_name_excludes": ["llm."]},
    "init_param": None,
    "output_dir": None,
}

CONFIGURATION: dict[str, Any] = {
    "framework": "pytorch",
    "task": "auto-speech-recognition",
    "file_path_metas": {
        "init_param": "model.pt",
        "config": "config.yaml",
        "llm_conf": {"init_param_path": "Qwen3-0.6B"},
        "dataset_conf": {"ctc_tokenizer_conf": {"vocab_path": "multilingual.tiktoken"}},
    },
}


def random_model(*, ctc: bool = True, ctc_weight: float = 0.0, seed: int = 0, spread: float = 0.02) -> FunAsrNano:
    """The network of SETTINGS with random weights, the same for the same seed.

    spread: of the language model's weights; with 0.5 its answers depend on what is heard.
    """
    settings = SETTINGS if ctc else {key: value for key, value in SETTINGS.items() if key != "ctc_decoder"}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return FunAsrNano(config_from(settings, LLM | {"initializer_range": spread}), ctc_weight=ctc_weight)


def random_state(*, ctc: bool = True, seed: int = 0, spread: float = 0.02) -> dict[str, Tensor]:
    """The weights of `random_model`, each tensor of its own, as in a published file."""
    return {
        name: tensor.clone() for name, tensor in random_model(ctc=ctc, seed=seed, spread=spread).state_dict().items()
    }


def write_folder(folder: Path, *, state: dict[str, Tensor] | None = None, ctc: bool = True, seed: int = 0) -> Path:
    """A folder as it is published, with `state` or random weights in model.pt; `ctc`: with the CTC tensors."""
    (folder / "Qwen3-0.6B").mkdir(parents=True)
    for file in (TINY / "Qwen3-0.6B").glob("tokenizer*.json"):
        shutil.copyfile(file, folder / "Qwen3-0.6B" / file.name)
    shutil.copyfile(TINY / "multilingual.tiktoken", folder / "multilingual.tiktoken")
    write_json(folder / "Qwen3-0.6B" / "config.json", LLM)
    write_json(folder / "configuration.json", CONFIGURATION)
    write_settings(folder, deepcopy(SETTINGS))
    torch.save(state if state is not None else random_state(ctc=ctc, seed=seed), folder / "model.pt")
    return folder


def write_settings(folder: Path, settings: dict[str, Any]) -> None:
    (folder / "config.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")


def write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")
