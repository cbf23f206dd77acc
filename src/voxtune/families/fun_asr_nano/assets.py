"""What a folder of Fun-ASR-Nano holds beside the weights: sizes, tokenizers, normalisation.

Source of the layout: funasr/download/download_model_from_hub.py (`configuration.json` names files relative to the
folder, and wins over `config.yaml`).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from transformers import AutoTokenizer, PreTrainedTokenizerBase
from yaml import YAMLError

from voxtune.errors import CheckpointError
from voxtune.parts.ctc_tokenizer import CtcTokenizer
from voxtune.parts.kaldi_frontend import Cmvn

CONFIG = "config.yaml"
CONFIGURATION = "configuration.json"
LLM = "Qwen3-0.6B"
CTC_RANKS = "multilingual.tiktoken"
CMVN = "am.mvn"

VOCABULARIES = ("tokenizer.json", "vocab.json")
CHAT_TOKENS = ("<|im_start|>", "<|im_end|>")

CTC_KEYS = ("ctc_decoder", "ctc_decoder_conf", "ctc_vocab_size", "ctc_conf", "ctc_tokenizer", "ctc_tokenizer_conf")
"""Upstream takes these from `model_conf` too."""

CTC_VOCABULARY = ("dataset_conf", "ctc_tokenizer_conf", "vocab_path")
"""Where the rank file is named; without the first key too."""


@dataclass(frozen=True)
class Assets:
    """A folder without its weights.

    settings: config.yaml, interpolations resolved; configuration: configuration.json; llm: the language model's own
    config.json; llm_folder: where its tokenizer lies; dtypes: of the weights, as the folder holds them.
    """

    settings: dict[str, Any]
    configuration: dict[str, Any]
    llm: dict[str, Any]
    llm_folder: Path
    tokenizer: PreTrainedTokenizerBase
    cmvn_file: Path | None = None
    cmvn: Cmvn | None = None
    ctc_tokenizer: CtcTokenizer | None = None
    dtypes: dict[str, torch.dtype] = field(default_factory=dict)

    @property
    def lora(self) -> dict[str, Any] | None:
        """Upstream's `lora_conf` where config.yaml says that the weights have LoRA beside them, else None."""
        llm_conf = self.settings.get("llm_conf") or {}
        return (llm_conf.get("lora_conf") or {}) if llm_conf.get("use_lora") else None


def read_assets(folder: Path) -> Assets:
    """Read an upstream folder. Raises CheckpointError naming what is missing or damaged."""
    configuration = read_mapping(folder / CONFIGURATION, json.loads) if (folder / CONFIGURATION).exists() else {}
    settings = read_mapping(folder / CONFIG, _resolved_yaml)
    if not all(isinstance(settings.get(key), dict) for key in ("audio_encoder_conf", "audio_adaptor_conf")):
        raise CheckpointError(
            f"{folder / CONFIG}: not a Fun-ASR-Nano configuration (needs audio_encoder_conf and audio_adaptor_conf)"
        )
    model_conf = settings.get("model_conf") or {}
    settings |= {key: model_conf.pop(key) for key in CTC_KEYS if key in model_conf}
    llm_folder = _llm_folder(folder, configuration, settings)
    cmvn_file = _named(folder, configuration, settings, "frontend_conf", "cmvn_file")
    if cmvn_file and not cmvn_file.is_file():
        raise CheckpointError(f"{cmvn_file} is missing; {folder / CONFIG} names it as frontend_conf.cmvn_file")
    ranks = next((path for path in _rank_files(folder, configuration, settings) if path.is_file()), None)
    return Assets(
        settings=settings,
        configuration=configuration,
        llm=read_mapping(llm_folder / "config.json", json.loads),
        llm_folder=llm_folder,
        tokenizer=read_tokenizer(llm_folder),
        cmvn_file=cmvn_file,
        cmvn=Cmvn.read(cmvn_file) if cmvn_file else None,
        ctc_tokenizer=CtcTokenizer(ranks) if ranks else None,
    )


def read_mapping(path: Path, parse: Callable[[str], Any]) -> dict[str, Any]:
    """Read a file that holds a mapping. Raises CheckpointError when it is missing, damaged or holds something else."""
    try:
        content = parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} is missing; is {path.parent} a Fun-ASR-Nano folder, and complete?") from error
    except (OSError, ValueError, YAMLError, OmegaConfBaseException) as error:
        raise CheckpointError(f"{path}: cannot be read ({error})") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: holds no mapping")
    return content


def read_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a folder. Raises CheckpointError when it is missing, damaged or has no chat tokens."""
    if not any((folder / name).is_file() for name in VOCABULARIES):
        # transformers would make an empty tokenizer.
        raise CheckpointError(f"{folder}: no tokenizer ({' or '.join(VOCABULARIES)}); copy it from the base model")
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # the tokenizers library raises bare Exception for a damaged file
        raise CheckpointError(f"{folder}: damaged tokenizer ({str(error).splitlines()[0]})") from error
    vocabulary = tokenizer.get_vocab()
    if absent := [token for token in CHAT_TOKENS if token not in vocabulary]:
        raise CheckpointError(f"{folder}: the tokenizer has no {' and '.join(absent)}; it is not this model's")
    return tokenizer


def _resolved_yaml(text: str) -> Any:
    return OmegaConf.to_container(OmegaConf.create(text), resolve=True)


def _llm_folder(folder: Path, configuration: dict[str, Any], settings: dict[str, Any]) -> Path:
    named = _named(folder, configuration, settings, "llm_conf", "init_param_path")
    for path in (named, folder / LLM):
        if path is not None and path.is_dir():
            return path
    raise CheckpointError(
        f"{folder}: the folder {named.name if named else LLM} with the language model's config.json and tokenizer is "
        f"missing. Upstream's fine-tuned folders only point to it: copy {LLM} of the base model into {folder}"
    )


def _rank_files(folder: Path, configuration: dict[str, Any], settings: dict[str, Any]) -> list[Path]:
    named = [_named(folder, configuration, settings, *CTC_VOCABULARY[start:]) for start in (0, 1)]
    return [path for path in named if path] + [folder / CTC_RANKS]


def _named(folder: Path, configuration: dict[str, Any], settings: dict[str, Any], *keys: str) -> Path | None:
    """The path that configuration.json, or else config.yaml, gives under these keys; it may not exist."""
    for tree in (configuration.get("file_path_metas"), settings):
        for key in keys:
            tree = tree.get(key) if isinstance(tree, dict) else None
        if isinstance(tree, str) and tree:
            return folder / tree
    return None
