"""Train the built-in Fun-ASR-Nano: `python demo/fun_asr_nano/make_base.py`, after `make_speech.py base` there.

A random model in upstream's file layout is written to build/demo/start, trained by `voxtune train` with
`demo/fun_asr_nano/base.yaml` on one core, and exported to src/voxtune/families/fun_asr_nano/tiny in half precision.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor

from voxtune.data.audio import load
from voxtune.data.manifest import read_samples
from voxtune.families.fun_asr_nano.config import config_from
from voxtune.families.fun_asr_nano.model import FunAsrNano
from voxtune.files import atomic_write, write_json, write_text
from voxtune.parts.kaldi_frontend import FrontendConfig, features
from voxtune.recipe import load_recipe
from voxtune.training.run import train
from voxtune.training.run_folder import load_run

ROOT = Path(__file__).parents[2]
BASE = ROOT / "build/demo/base"
START = ROOT / "build/demo/start"
TINY = ROOT / "src/voxtune/families/fun_asr_nano/tiny"
RECIPE = Path(__file__).with_name("base.yaml")

SEED = 1
WIDTH = 144
CTC_WIDTH = 96
CMVN_UTTERANCES = 500

SETTINGS = {
    "model": "FunASRNano",
    "frontend": "WavFrontend",
    "frontend_conf": {
        "fs": 16000, "window": "hamming", "n_mels": 80, "frame_length": 25, "frame_shift": 10, "lfr_m": 7, "lfr_n": 6,
        "cmvn_file": "am.mvn", "dither": 0.0,
    },
    "audio_encoder": "SenseVoiceEncoderSmall",
    "audio_encoder_conf": {
        "output_size": WIDTH, "attention_heads": 4, "linear_units": 576, "num_blocks": 4, "tp_blocks": 1,
        "kernel_size": 11, "sanm_shfit": 0, "dropout_rate": 0.0, "positional_dropout_rate": 0.0,
        "attention_dropout_rate": 0.0, "input_layer": "pe", "pos_enc_class": "SinusoidalPositionEncoder",
        "normalize_before": True, "selfattention_layer_type": "sanm",
    },
    "audio_adaptor": "Transformer",
    "audio_adaptor_conf": {
        "downsample_rate": 8, "use_low_frame_rate": True, "encoder_dim": WIDTH, "llm_dim": 128, "ffn_dim": 256,
        "n_layer": 1, "attention_heads": 4,
    },
    "llm": "Qwen3-0.6b",
    "llm_conf": {"hub": "hf", "init_param_path": "Qwen3-0.6B", "llm_dtype": "fp32", "use_lora": False},
    "ctc_decoder": "Transformer",
    "ctc_decoder_conf": {
        "downsample_rate": 1, "encoder_dim": WIDTH, "llm_dim": CTC_WIDTH, "ffn_dim": 256, "n_layer": 0,
        "attention_heads": 4,
    },
    "tokenizer": "HuggingfaceTokenizer",
    "tokenizer_conf": {"init_param_path": "Qwen3-0.6B"},
    "dataset_conf": {
        "ctc_tokenizer": "SenseVoiceTokenizer", "ctc_tokenizer_conf": {"vocab_path": "multilingual.tiktoken"},
    },
}  # fmt: skip

LLM = {
    "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "hidden_size": 128, "intermediate_size": 384,
    "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32, "hidden_act": "silu",
    "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "max_position_embeddings": 4096, "attention_bias": False,
    "tie_word_embeddings": True, "initializer_range": 0.02,
}  # fmt: skip


def write_start() -> None:
    """Write the untrained model as a folder in upstream's layout."""
    shutil.rmtree(START, ignore_errors=True)
    shutil.copytree(TINY, START, ignore=shutil.ignore_patterns("*.safetensors"))
    tokenizer = json.loads((START / "Qwen3-0.6B/tokenizer.json").read_text())
    ids = {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    vocabulary = {"vocab_size": max(ids.values()) + 1, "eos_token_id": ids["<|im_end|>"]}
    llm = LLM | vocabulary
    ranks = len((START / "multilingual.tiktoken").read_text().splitlines())
    settings = SETTINGS | {"ctc_vocab_size": ranks + 1}
    write_json(START / "Qwen3-0.6B/config.json", llm)
    write_text(START / "config.yaml", yaml.safe_dump(settings, allow_unicode=True, sort_keys=False))
    metas = {"init_param": "model.safetensors", "config": "config.yaml", "llm_conf": {"init_param_path": "Qwen3-0.6B"}}
    write_json(START / "configuration.json", {"model": {"type": "funasr"}, "file_path_metas": metas})
    write_text(START / "am.mvn", normalisation())
    torch.manual_seed(SEED)
    save(FunAsrNano(config_from(settings, llm)).state_dict(), START / "model.safetensors", torch.float32)


def normalisation() -> str:
    """A Kaldi normalisation file that gives the features unit variance after the encoder's factor sqrt(width), so
    that they do not drown the position signal."""
    samples = read_samples(BASE / "train.jsonl")[:CMVN_UTTERANCES]
    config = FrontendConfig()
    rows = torch.cat([features(load(sample.audio[0], config.sample_rate), config) for sample in samples])
    vectors = {"AddShift": -rows.mean(0), "Rescale": 1 / (rows.std(0) * WIDTH**0.5)}
    size = config.width
    lines = [
        f"<{name}> {size} {size}\n<LearnRateCoef> 0 [ {' '.join(f'{v:.6g}' for v in vector.tolist())} ]\n"
        for name, vector in vectors.items()
    ]
    return f"<Nnet>\n<Splice> {size} {size}\n[ 0 ]\n{''.join(lines)}</Nnet>\n"


def widened_ctc(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same function with a CTC decoder as wide as the encoder, which upstream's classifier asks for: the new
    channels are zero. (It is trained narrower because that is enough.)"""
    missing = WIDTH - CTC_WIDTH
    wide = dict(state)
    for name in ("ctc_decoder.linear2.weight", "ctc_decoder.linear2.bias"):
        wide[name] = torch.cat([state[name], state[name].new_zeros(missing, *state[name].shape[1:])])
    head = state["ctc.ctc_lo.weight"]
    wide["ctc.ctc_lo.weight"] = torch.cat([head, head.new_zeros(len(head), missing)], 1)
    return wide


def save(state: dict[str, Tensor], path: Path, dtype: torch.dtype) -> None:
    """Write weights as safetensors, whole or not at all."""
    with atomic_write(path) as temporary:
        save_file({name: tensor.to(dtype).clone().contiguous() for name, tensor in state.items()}, temporary)


def main() -> None:
    """Make the start, train, and put the result into the package."""
    torch.set_num_threads(1)
    recipe = load_recipe(RECIPE)
    if not recipe.train.output.exists():
        write_start()
    if not train(recipe).finished:
        return
    state = widened_ctc(load_run(recipe.train.output, "last").model.state_dict())
    for name in ("configuration.json", "am.mvn", "Qwen3-0.6B/config.json"):
        shutil.copyfile(START / name, TINY / name)
    settings = yaml.safe_load((START / "config.yaml").read_text())
    settings["ctc_decoder_conf"]["llm_dim"] = WIDTH
    write_text(TINY / "config.yaml", yaml.safe_dump(settings, allow_unicode=True, sort_keys=False))
    save(state, TINY / "model.safetensors", torch.float16)
    print(f"{TINY / 'model.safetensors'}: {(TINY / 'model.safetensors').stat().st_size} bytes")


if __name__ == "__main__":
    main()
