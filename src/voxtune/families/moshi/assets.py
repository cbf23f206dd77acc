"""What a Moshi folder holds beside the language model: codec, tokenizer, and how text lies on frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from voxtune.errors import CheckpointError, VoxtuneError
from voxtune.families.moshi.config import LmConfig, Options
from voxtune.families.moshi.folder_config import CONFIG, FolderConfig, read_folder_config, read_mapping
from voxtune.families.moshi.text import TextIds
from voxtune.families.moshi.tokenizer import TextTokenizer
from voxtune.families.source import resolve
from voxtune.families.weights import check_fit, read_weights
from voxtune.parts.mimi.codec import Mimi
from voxtune.parts.mimi.config import PUBLISHED, MimiConfig
from voxtune.parts.mimi.weights import published_names

CODEC = "tokenizer-e351c8d8-checkpoint125.safetensors"
TOKENIZER = "tokenizer_spm_32k_3.model"
"""Names of the published files, where config.json says nothing else."""

BUILT_IN = Path(__file__).with_name("tiny")
CODEC_FILES = (CONFIG, "mimi*.json", "tokenizer-*.safetensors", "mimi*.safetensors")
TOKENIZER_FILES = (CONFIG, "*.model")
"""Files of a hub model that are needed for a codec or a tokenizer alone."""


@dataclass(frozen=True)
class Assets:
    """The codec and the tokenizer with the files that they come from.

    whitespace: words are written apart. generation: upstream's `lm_gen_config`.
    """

    codec: Mimi
    codec_file: Path
    tokenizer: TextTokenizer
    tokenizer_file: Path
    text: TextIds
    whitespace: bool
    generation: dict[str, Any] = field(default_factory=dict)


def read_assets(folder: Path, config: FolderConfig, lm: LmConfig, options: Options) -> Assets:
    """The assets of a folder, or those that the options name. Raises CheckpointError when one is missing or unfit.

    Published folders do not say how their text lies on frames. Where neither the options nor our own export do, it is
    kyutai's way: 0 for the end of padding, words written apart. J-Moshi needs `whitespace_before_word: false`.
    """
    codec_file = _codec_file(folder, options.codec)
    tokenizer_file = _tokenizer_file(folder, options.tokenizer)
    tokenizer = TextTokenizer.load(tokenizer_file)
    end = options.end_of_text_padding_id
    if end is None:
        end = config.beside.get("existing_text_end_padding_id", config.notes.end_of_text_padding_id)
    text = TextIds(lm.existing_text_padding_id, end)
    if max(text.padding, text.end_of_padding) >= tokenizer.size:
        raise CheckpointError(
            f"{tokenizer_file}: {tokenizer.size} tokens, but text_padding_id = {text.padding} and "
            f"end_of_text_padding_id = {text.end_of_padding}; set them in the recipe's model section"
        )
    whitespace = options.whitespace_before_word
    return Assets(
        codec=load_codec(codec_file, codebooks=lm.codebooks, card=lm.card),
        codec_file=codec_file,
        tokenizer=tokenizer,
        tokenizer_file=tokenizer_file,
        text=text,
        whitespace=config.notes.whitespace_before_word if whitespace is None else whitespace,
        generation=config.beside.get("lm_gen_config") or {},
    )


def load_codec(path: Path, *, codebooks: int, card: int) -> Mimi:
    """Mimi from its file, in float32, with the configuration that config.json beside it names, or the published one.

    Raises CheckpointError when it does not fit its configuration or the language model's codes.
    """
    config = _codec_config(path)
    if config.quantizer.bins != card or config.quantizer.n_q < codebooks:
        raise CheckpointError(
            f"{path}: a codec of {config.quantizer.n_q} codebooks with {config.quantizer.bins} codes each, but the "
            f"language model speaks {codebooks} with {card}"
        )
    try:
        with torch.device("meta"):
            codec = Mimi(config, codebooks)
    except (VoxtuneError, RuntimeError, ValueError) as error:
        raise CheckpointError(f"{path}: its configuration describes no usable codec ({error})") from error
    tensors = published_names(read_weights(path))
    check_fit({name: tensor.shape for name, tensor in codec.state_dict().items()}, tensors, path)
    codec.load_state_dict({name: tensor.to(torch.float32, copy=True) for name, tensor in tensors.items()}, assign=True)
    return codec.eval().requires_grad_(False)


def _codec_config(path: Path) -> MimiConfig:
    beside = _beside(path.parent)
    name = beside.get("mimi_config_name")
    if not name or beside.get("mimi_name", CODEC) != path.name:
        return PUBLISHED
    try:
        return MimiConfig.from_dict(read_mapping(path.parent / name))
    except CheckpointError as error:
        raise CheckpointError(f"{path.parent / name}: {error}") from error


def _codec_file(folder: Path, option: str | None) -> Path:
    if option is not None:
        named = _option("codec", option, ".safetensors", CODEC_FILES)
        if named.is_file():
            return named
        folder = named
    path = folder / str(_beside(folder).get("mimi_name", CODEC))
    if not path.is_file():
        raise CheckpointError(
            f"{folder}: no codec ({path.name}). Set model.codec to Mimi's file in upstream's layout, or to a folder or "
            "hub id that holds it, such as kyutai/moshiko-pytorch-bf16"
        )
    return path


def _tokenizer_file(folder: Path, option: str | None) -> Path:
    if option is not None:
        named = _option("tokenizer", option, ".model", TOKENIZER_FILES)
        if named.is_file():
            return named
        folder = named
    path = folder / str(_beside(folder).get("tokenizer_name", TOKENIZER))
    if path.is_file():
        return path
    others = sorted(folder.glob("*.model"))
    if option is None or not others:
        raise CheckpointError(
            f"{folder}: no text tokenizer ({path.name}). Set model.tokenizer to its SentencePiece file, or to a folder "
            "or hub id that holds it"
        )
    if len(others) > 1:
        found = ", ".join(other.name for other in others)
        raise CheckpointError(f"{folder}: several tokenizers ({found}); set model.tokenizer to one of the files")
    return others[0]


def _option(key: str, value: str, suffix: str, patterns: Sequence[str]) -> Path:
    """What an option names: a file, or the local folder of a folder or hub id."""
    path = Path(value).expanduser()
    if path.is_file():
        return path
    try:
        if path.suffix == suffix:
            raise CheckpointError(f"{value}: no such file")
        return resolve(value, BUILT_IN, patterns)
    except CheckpointError as error:
        raise CheckpointError(f"model.{key}: {error}") from error


def _beside(folder: Path) -> dict[str, Any]:
    return read_folder_config(folder).beside
