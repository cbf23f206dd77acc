"""Fun-ASR-Nano in the layout of transformers (`FunAsrNanoForConditionalGeneration`), both ways.

The layers are the same; names differ, query, key and value of the encoder are apart, and there is no CTC branch.
Source of the names: transformers/models/fun_asr_nano.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from torch import Tensor
from transformers import AutoConfig
from transformers import FunAsrNanoConfig as HfConfig

from voxtune.errors import CheckpointError
from voxtune.families.fun_asr_nano.assets import LLM, Assets, read_mapping, read_tokenizer
from voxtune.families.fun_asr_nano.config import FunAsrNanoConfig, config_from
from voxtune.families.fun_asr_nano.model import FunAsrNano
from voxtune.families.weights import read_weights

ENCODER_TENSOR = re.compile(r"audio_encoder\.(encoders0|encoders|tp_encoders)\.(\d+)\.(.+)\.(weight|bias)")
ADAPTOR_TENSOR = re.compile(r"audio_adaptor\.blocks\.(\d+)\.(.+)\.(weight|bias)")

LAYER = {
    "self_attn.linear_q_k_v": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "self_attn.linear_q": ("self_attn.q_proj",),
    "self_attn.linear_k": ("self_attn.k_proj",),
    "self_attn.linear_v": ("self_attn.v_proj",),
    "self_attn.linear_out": ("self_attn.o_proj",),
    "self_attn.fsmn_block": ("self_attn.fsmn.conv",),
    "feed_forward.w_1": ("mlp.fc1",),
    "feed_forward.w_2": ("mlp.fc2",),
    "norm1": ("input_layernorm",),
    "norm2": ("post_attention_layernorm",),
}
"""Parts of an encoder or adaptor layer: upstream's name, transformers' names."""


def hf_names(name: str, num_blocks: int, tp_blocks: int) -> list[str]:
    """transformers' names of an upstream tensor: one, three for a fused query, key and value, none for CTC.

    Raises ValueError for a name that upstream does not have.
    """
    if match := ENCODER_TENSOR.fullmatch(name):
        stack, number, part, kind = match.groups()
        layer = int(number) + {"encoders0": 0, "encoders": 1, "tp_encoders": num_blocks}[stack]
        return [f"model.audio_tower.layers.{layer}.{hf_part}.{kind}" for hf_part in LAYER[part]]
    if match := ADAPTOR_TENSOR.fullmatch(name):
        number, part, kind = match.groups()
        return [f"model.multi_modal_projector.layers.{number}.{hf_part}.{kind}" for hf_part in LAYER[part]]
    if name.startswith(("ctc_decoder.", "ctc.")):
        return []
    for ours, theirs in (
        ("audio_encoder.after_norm.", f"model.audio_tower.layers.{num_blocks - 1}.final_layernorm."),
        ("audio_encoder.tp_norm.", f"model.audio_tower.layers.{num_blocks + tp_blocks - 1}.final_layernorm."),
        ("audio_adaptor.linear1.", "model.multi_modal_projector.linear_1."),
        ("audio_adaptor.linear2.", "model.multi_modal_projector.linear_2."),
        ("llm.model.", "model.language_model."),
        ("llm.lm_head.", "lm_head."),
    ):
        if name.startswith(ours):
            return [theirs + name.removeprefix(ours)]
    raise ValueError(f"{name} is no tensor of Fun-ASR-Nano")


def to_hf_state(state: Mapping[str, Tensor], config: FunAsrNanoConfig) -> dict[str, Tensor]:
    """An upstream state dict under transformers' names; the CTC branch is left out."""
    converted: dict[str, Tensor] = {}
    for name, tensor in state.items():
        names = hf_names(name, config.encoder.num_blocks, config.encoder.tp_blocks)
        converted |= dict(zip(names, tensor.chunk(max(1, len(names))), strict=False))
    return converted


def from_hf_state(state: Mapping[str, Tensor], names: Iterable[str], config: FunAsrNanoConfig) -> dict[str, Tensor]:
    """The upstream tensors `names` out of a transformers state dict.

    Those that it lacks are left out, those that have no place keep their name: the strict loader names both.
    """
    rest = dict(state)
    converted = {}
    for name in names:
        parts = hf_names(name, config.encoder.num_blocks, config.encoder.tp_blocks)
        if parts and all(part in rest for part in parts):
            tensors = [rest.pop(part) for part in parts]
            converted[name] = torch.cat(tensors) if len(tensors) > 1 else tensors[0]
    return converted | rest


def to_hf_config(config: FunAsrNanoConfig) -> HfConfig:
    """Sizes as transformers writes them. Raises ValueError for what its class cannot be."""
    encoder, adaptor = config.encoder, config.adaptor
    if adaptor.downsample_rate != 1 or encoder.shift or config.low_frame_rate is False:
        raise ValueError("transformers' class has no downsample_rate, no sanm_shfit and no full frame rate")
    return HfConfig(
        audio_config={
            "model_type": "fun_asr_nano_encoder",
            "num_mel_bins": config.frontend.mel_bins,
            "num_stacked_frames": config.frontend.stacked,
            "hidden_size": encoder.output_size,
            "num_attention_heads": encoder.attention_heads,
            "intermediate_size": encoder.linear_units,
            "num_hidden_layers": encoder.num_blocks + encoder.tp_blocks,
            "num_timestamp_prediction_layers": encoder.tp_blocks,
            "fsmn_kernel_size": encoder.kernel_size,
            "hidden_dropout": encoder.dropout,
            "attention_dropout": encoder.attention_dropout,
        },
        adaptor_config={
            "hidden_size": adaptor.llm_dim,
            "num_attention_heads": adaptor.attention_heads,
            "intermediate_size": adaptor.llm_dim // 4,
            "num_hidden_layers": adaptor.n_layer,
            "hidden_dropout": adaptor.dropout,
            "attention_dropout": adaptor.dropout,
            "layer_norm_eps": 1e-12,
            "projector_hidden_size": adaptor.ffn_dim,
        },
        text_config=config.llm,
        tie_word_embeddings=config.llm.get("tie_word_embeddings", True),
    )


def from_hf_config(hf: HfConfig) -> tuple[dict[str, Any], dict[str, Any]]:
    """Upstream's config.yaml and the language model's config.json out of transformers' config.

    What only upstream has takes the published values; only the first frames enter the language model, as upstream
    trained it (transformers' own processor inserts all).
    """
    audio: Any = hf.audio_config
    adaptor: Any = hf.adaptor_config
    text: Any = hf.text_config
    settings = {
        "model": "FunASRNano",
        "model_conf": {"length_normalized_loss": True},
        "audio_encoder": "SenseVoiceEncoderSmall",
        "audio_encoder_conf": {
            "output_size": audio.hidden_size,
            "attention_heads": audio.num_attention_heads,
            "linear_units": audio.intermediate_size,
            "num_blocks": audio.num_hidden_layers - audio.num_timestamp_prediction_layers,
            "tp_blocks": audio.num_timestamp_prediction_layers,
            "kernel_size": audio.fsmn_kernel_size,
            "sanm_shfit": 0,
            "dropout_rate": audio.hidden_dropout,
            "attention_dropout_rate": audio.attention_dropout,
            "input_layer": "pe",
            "normalize_before": True,
            "freeze": True,
        },
        "audio_adaptor": "Transformer",
        "audio_adaptor_conf": {
            "downsample_rate": 1,
            "use_low_frame_rate": True,
            "ffn_dim": adaptor.projector_hidden_size,
            "llm_dim": adaptor.hidden_size,
            "encoder_dim": audio.hidden_size,
            "n_layer": adaptor.num_hidden_layers,
            "attention_heads": adaptor.num_attention_heads,
            "dropout_rate": adaptor.hidden_dropout,
            "freeze": True,
        },
        "llm": "Qwen3-0.6b",
        "llm_conf": {"hub": "hf", "freeze": True, "llm_dtype": "bf16", "init_param_path": LLM},
        "frontend": "WavFrontend",
        "frontend_conf": {
            "fs": 16000,
            "window": "hamming",
            "n_mels": audio.num_mel_bins,
            "frame_length": 25,
            "frame_shift": 10,
            "lfr_m": audio.num_stacked_frames,
            "lfr_n": 6,
            "cmvn_file": None,
        },
        "tokenizer": "HuggingfaceTokenizer",
        "tokenizer_conf": {"init_param_path": LLM},
    }
    llm = json.loads(text.to_json_string(use_diff=False))
    return settings, llm | {"architectures": ["Qwen3ForCausalLM"], "tie_word_embeddings": hf.tie_word_embeddings}


def is_hf_folder(folder: Path) -> bool:
    """Whether a folder has transformers' layout of this family."""
    path = folder / "config.json"
    return path.is_file() and read_mapping(path, json.loads).get("model_type") == "fun_asr_nano"


def read_hf_folder(folder: Path) -> tuple[Assets, Path, dict[str, Tensor]]:
    """Assets, where the weights lie, and the weights under upstream's names. Raises CheckpointError."""
    try:
        settings, llm = from_hf_config(AutoConfig.from_pretrained(folder, local_files_only=True))
        config = config_from(settings, llm)
        with torch.device("meta"):
            names = FunAsrNano(config).state_dict().keys()
    except (OSError, ValueError, TypeError, KeyError, RuntimeError, StrictDataclassError) as error:
        raise CheckpointError(f"{folder / 'config.json'}: describes no usable Fun-ASR-Nano: {error}") from error
    files = sorted(folder.glob("model*.safetensors"))
    if not files:
        raise CheckpointError(f"{folder}: no weights (model.safetensors)")
    tensors = {name: tensor for file in files for name, tensor in read_weights(file).items()}
    assets = Assets(settings, {}, llm, folder, read_tokenizer(folder))
    return assets, files[0], from_hf_state(tensors, names, config)
