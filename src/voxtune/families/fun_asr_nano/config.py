"""Sizes of Fun-ASR-Nano: read from upstream's config.yaml, the published ones, and the recipe's options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from voxtune.data.sample import Strict
from voxtune.parts.kaldi_frontend import FrontendConfig
from voxtune.parts.sanm import SanmConfig
from voxtune.parts.transformer_adaptor import AdaptorConfig

TIMESTAMP_SPECIALS = 1679
"""Special tokens that upstream's CTC tokenizer adds to the ranks of its tiktoken file."""


class Options(Strict):
    """Keys of a recipe's `model` section that belong to this family."""

    ctc_weight: float = Field(0.0, ge=0, description="weight of a CTC loss beside the language model's; 0 = upstream")
    dither: float = Field(0.0, ge=0, description="noise added to training audio, int16 scale; upstream always has 1.0")
    system_prompt: bool = Field(True, description="false: no system message, upstream's `sys_prompt: false`")
    think_block: bool = Field(False, description="an empty thought before answers, upstream's `do_think: false`")
    context_header: bool = Field(False, description="put upstream's training context header before the first user turn")
    resampler: Literal["soxr", "sinc"] = Field("soxr", description="sinc = bit-compatible with upstream")
    spec_augment: bool = Field(False, description="mask random bands and stretches of training features")


@dataclass(frozen=True)
class FunAsrNanoConfig:
    """Everything that shapes the network. `low_frame_rate`: only the first ceil(rows / 8) adaptor frames enter."""

    frontend: FrontendConfig
    encoder: SanmConfig
    adaptor: AdaptorConfig
    llm: dict[str, Any]
    ctc_decoder: AdaptorConfig | None = None
    ctc_vocabulary: int = 0
    low_frame_rate: bool = True

    @property
    def ctc_blank(self) -> int:
        """The last class."""
        return self.ctc_vocabulary - 1

    def audio_frames(self, rows: int) -> int:
        """Positions of the language model that a recording of `rows` stacked rows fills."""
        if not self.low_frame_rate:
            return rows
        return (((rows + 1) // 2 + 1) // 2 + 1) // 2


def config_from(raw: dict[str, Any], llm: dict[str, Any]) -> FunAsrNanoConfig:
    """Sizes from upstream's config.yaml and the language model's own config.json, both parsed.

    Keys that upstream accepts and ignores are ignored here too.
    """
    frontend = _frontend(raw.get("frontend_conf") or {})
    encoder = _encoder(raw["audio_encoder_conf"], frontend.width)
    adaptor = _adaptor(raw["audio_adaptor_conf"], encoder.output_size, llm["hidden_size"])
    ctc_decoder = None
    if raw.get("ctc_decoder"):
        ctc = raw.get("ctc_decoder_conf") or {}
        ctc_decoder = _adaptor(ctc, encoder.output_size, ctc.get("llm_dim", encoder.output_size))
    return FunAsrNanoConfig(
        frontend=frontend,
        encoder=encoder,
        adaptor=adaptor,
        llm=llm,
        ctc_decoder=ctc_decoder,
        ctc_vocabulary=int(raw.get("ctc_vocab_size") or 60515) if ctc_decoder else 0,
        low_frame_rate=bool(raw["audio_adaptor_conf"].get("use_low_frame_rate", False)),
    )


def _frontend(conf: dict[str, Any]) -> FrontendConfig:
    default = FrontendConfig()
    return FrontendConfig(
        sample_rate=conf.get("fs", default.sample_rate),
        mel_bins=conf.get("n_mels", default.mel_bins),
        frame_length_ms=conf.get("frame_length", default.frame_length_ms),
        frame_shift_ms=conf.get("frame_shift", default.frame_shift_ms),
        window=conf.get("window", default.window),
        stacked=conf.get("lfr_m", default.stacked),
        stride=conf.get("lfr_n", default.stride),
    )


def _encoder(conf: dict[str, Any], input_size: int) -> SanmConfig:
    return SanmConfig(
        input_size=input_size,
        output_size=conf["output_size"],
        attention_heads=conf["attention_heads"],
        linear_units=conf["linear_units"],
        num_blocks=conf["num_blocks"],
        tp_blocks=conf.get("tp_blocks", 0),
        kernel_size=conf.get("kernel_size", 11),
        shift=conf.get("sanm_shfit") or 0,
        dropout=conf.get("dropout_rate", 0.1),
        attention_dropout=conf.get("attention_dropout_rate", 0.0),
    )


def _adaptor(conf: dict[str, Any], encoder_dim: int, llm_dim: int) -> AdaptorConfig:
    default = AdaptorConfig()
    return AdaptorConfig(
        downsample_rate=conf.get("downsample_rate", 1),
        encoder_dim=encoder_dim,
        llm_dim=llm_dim,
        ffn_dim=conf.get("ffn_dim", default.ffn_dim),
        n_layer=conf.get("n_layer", default.n_layer),
        attention_heads=conf.get("attention_heads", default.attention_heads),
        dropout=conf.get("dropout_rate", 0.0),
    )
