"""Sizes of Moshi, under upstream's names, and the family's keys in a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from voxtune.data.sample import Strict
from voxtune.errors import CheckpointError
from voxtune.parts.gated_transformer import gated_width

Norm = Literal["rms_norm_f32", "rms_norm", "layer_norm"]

FIXED: dict[str, tuple[Any, ...]] = {
    "causal": (True,),
    "layer_scale": (None,),
    "gating": ("silu",),
    "positional_embedding": ("rope",),
    "depformer_causal": (True,),
    "depformer_layer_scale": (None,),
    "depformer_multi_linear": (True,),
    "depformer_gating": ("silu",),
    "depformer_pos_emb": ("none",),
    "depformer_weights_per_step": (True,),
    "cross_attention": (False,),
    "conditioners": ({}, None),
    "fuser": ({}, None),
    "extra_heads_num_heads": (0,),
    "extra_heads_dim": (6,),
    "demux_second_stream": (False,),
    "demux_second_text_stream": (False,),
    "norm_emb": (False,),
    "quantize": (False,),
    "bias_proj": (False,),
}
"""Keys of upstream's that are known here with one meaning only."""


@dataclass(frozen=True)
class LmConfig:
    """Upstream's keyword arguments of the language model; the defaults are those of the published 7B models.

    Source: kyutai-labs/moshi, configs/moshi_7b_202409.json. Fixed ones are in FIXED.
    """

    dim: int = 4096
    text_card: int = 32000
    existing_text_padding_id: int = 3
    n_q: int = 16
    dep_q: int = 8
    card: int = 2048
    num_heads: int = 32
    num_layers: int = 32
    hidden_scale: float = 4.125
    context: int = 3000
    max_period: float = 10000
    norm: Norm = "rms_norm_f32"
    kv_repeat: int = 1
    text_card_out: int | None = None
    depformer_dim: int = 1024
    depformer_dim_feedforward: int | tuple[int, ...] = 4224
    depformer_num_heads: int = 16
    depformer_num_layers: int = 6
    depformer_kv_repeat: int | None = None
    depformer_context: int = 8
    depformer_max_period: float = 10000
    depformer_norm: Norm | None = None
    depformer_weights_per_step_schedule: tuple[int, ...] | None = None
    depformer_low_rank_embeddings: int | None = None
    delays: tuple[int, ...] = (0, 0, 1, 1, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1)

    @property
    def codebooks(self) -> int:
        """Codes of one speaker in a frame."""
        return self.n_q // 2

    @property
    def user_stream(self) -> bool:
        """Whether the user's codes are predicted too."""
        return self.dep_q > self.codebooks

    @property
    def initial_tokens(self) -> list[int]:
        """What each stream is fed before its first frame."""
        return [self.text_card] + [self.card] * self.n_q

    @property
    def schedule(self) -> tuple[int, ...]:
        """The weight set that each step of the depth transformer uses."""
        return self.depformer_weights_per_step_schedule or tuple(range(self.dep_q))

    @property
    def depth_widths(self) -> list[int]:
        """Rows of each half of the depth transformer's gated layers, one a weight set."""
        sizes = self.depformer_dim_feedforward
        plain = [sizes] * (max(self.schedule) + 1) if isinstance(sizes, int) else list(sizes)
        return [gated_width(size, self.depformer_dim) for size in plain]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str) -> LmConfig:
        """From the content of a config.json or moshi_lm_kwargs.json without the keys that are not the model's.

        Raises CheckpointError naming the key that is unknown, of a wrong type, or asks for what is not built here.
        """
        known = {field.name: field for field in fields(cls)}
        taken: dict[str, Any] = {}
        for key, value in values.items():
            if key in FIXED:
                if value not in FIXED[key]:
                    raise CheckpointError(f"{where}: {key} = {value!r} is not supported, only {FIXED[key][0]!r}")
            elif key not in known:
                raise CheckpointError(f"{where}: unknown key {key}; is this a Moshi model of this kind?")
            else:
                taken[key] = tuple(value) if isinstance(value, list) else value
        config = cls(**taken)
        config._check(where)
        return config

    def _check(self, where: str) -> None:
        if len(self.delays) != self.n_q + 1:
            raise CheckpointError(f"{where}: {len(self.delays)} delays for {self.n_q + 1} streams (text and n_q)")
        if self.dep_q not in (self.codebooks, self.n_q) or self.n_q % 2:
            raise CheckpointError(
                f"{where}: dep_q = {self.dep_q}, n_q = {self.n_q}; two speakers of n_q / 2 codes each are needed, of "
                "which one or both are predicted"
            )
        if len(self.schedule) != self.dep_q:
            raise CheckpointError(f"{where}: depformer_weights_per_step_schedule needs {self.dep_q} numbers")


class Options(Strict):
    """The family's keys in a recipe's model section."""

    convention: Literal["jmoshi", "kyutai"] = Field(
        "jmoshi", description="whose loss and whose placing of words: nu-dialogue's or kyutai's fine-tuner"
    )
    speakers: list[Literal["A", "B"]] = Field(
        ["A"], min_length=1, description="who the model plays; each in turn, two double the data"
    )
    extend_for_user_stream: bool = Field(False, description="predict the user's codes too: more steps in depth")
    new_text_embeddings: bool = Field(False, description="draw the rows of the text embeddings anew")
    retain_text_token_ids: list[int] = Field([0, 3], description="rows that a new embedding keeps")
    tokenizer: str | None = Field(None, description="SentencePiece file, or a folder or hub id that holds one")
    codec: str | None = Field(None, description="Mimi file, or a folder or hub id that holds one")
    whitespace_before_word: bool | None = Field(None, description="false for Japanese and Chinese; None = as the model")
    text_padding_id: int | None = Field(None, ge=0, description="None = as the model")
    end_of_text_padding_id: int | None = Field(None, ge=0, description="None = as the model")
    max_frames: int | None = Field(None, ge=4, description="longer rows are split into equal pieces")
    semantic_weight: float = Field(100.0, gt=0, description="of a speaker's first codebook in the audio loss")
    acoustic_weight: float = Field(1.0, gt=0, description="of the other codebooks")
    text_padding_weight: float = Field(0.5, ge=0, description="of frames in which no token of a word lies")

    @field_validator("tokenizer", "codec")
    @classmethod
    def _from_the_root(cls, source: str | None) -> str | None:
        """A run can be used from any folder."""
        return str(Path(source).absolute()) if source is not None and Path(source).exists() else source

    @field_validator("speakers")
    @classmethod
    def _each_once(cls, speakers: list[str]) -> list[str]:
        if len(set(speakers)) < len(speakers):
            raise ValueError("each speaker once")
        return speakers
