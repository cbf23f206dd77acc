"""Sizes of Mimi, under upstream's own names: its `mimi_config_name` file is this dictionary as JSON."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ConfigDict, PositiveFloat, PositiveInt, TypeAdapter, ValidationError

from voxtune.errors import CheckpointError

NO_OTHER_KEYS = ConfigDict(extra="forbid")


@dataclass(frozen=True)
class SeanetConfig:
    """The convolutional encoder and its mirror image, the decoder. `ratios` are in the decoder's order."""

    __pydantic_config__ = NO_OTHER_KEYS

    channels: PositiveInt
    dimension: PositiveInt
    causal: bool
    n_filters: PositiveInt
    n_residual_layers: PositiveInt
    activation: str
    compress: PositiveInt
    dilation_base: PositiveInt
    disable_norm_outer_blocks: int
    kernel_size: PositiveInt
    residual_kernel_size: PositiveInt
    last_kernel_size: PositiveInt
    norm: str
    pad_mode: str
    ratios: tuple[PositiveInt, ...]
    true_skip: bool

    @property
    def hop(self) -> int:
        """Samples a step of the encoder's output."""
        return math.prod(self.ratios)


@dataclass(frozen=True)
class QuantizerConfig:
    """Two residual quantisers side by side: the first `n_q_semantic` codebooks, and the rest."""

    __pydantic_config__ = NO_OTHER_KEYS

    dimension: PositiveInt
    n_q: PositiveInt
    bins: PositiveInt
    input_dimension: PositiveInt
    output_dimension: PositiveInt
    n_q_semantic: PositiveInt = 1


@dataclass(frozen=True)
class TransformerConfig:
    """The transformers after the encoder and before the decoder. `context`: steps that a step sees, itself included."""

    __pydantic_config__ = NO_OTHER_KEYS

    d_model: PositiveInt
    num_heads: PositiveInt
    num_layers: PositiveInt
    causal: bool
    layer_scale: float | None
    context: PositiveInt
    conv_layout: bool
    max_period: PositiveFloat
    gating: str
    norm: str
    positional_embedding: str
    dim_feedforward: PositiveInt
    input_dimension: PositiveInt
    output_dimensions: tuple[PositiveInt, ...]


@dataclass(frozen=True)
class MimiConfig:
    """Everything that shapes the codec.

    Source of the names: kyutai-labs/moshi, models/loaders.py; `num_codebooks` is what its `set_num_codebooks` gets.
    """

    __pydantic_config__ = NO_OTHER_KEYS

    sample_rate: PositiveInt
    channels: PositiveInt
    frame_rate: PositiveFloat
    seanet: SeanetConfig
    quantizer: QuantizerConfig
    transformer: TransformerConfig
    num_codebooks: PositiveInt = 8

    def __post_init__(self) -> None:
        for name, value, usable in self._fixed():
            if value != usable:
                raise CheckpointError(f"Mimi's configuration: {name} is {value!r}; only {usable!r} can be used")
        if self.stride < 1 or not math.isclose(self.frame_rate * self.frame_size, self.sample_rate):
            raise CheckpointError(
                f"Mimi's configuration: sample_rate {self.sample_rate} is not frame_rate {self.frame_rate} times a "
                f"whole number of steps of {self.seanet.hop} samples (the product of seanet.ratios)"
            )
        width, heads = self.transformer.d_model, self.transformer.num_heads
        if width % (2 * heads):
            raise CheckpointError(
                f"Mimi's configuration: transformer.d_model is {width}; {heads} heads need a multiple of {2 * heads}"
            )
        if self.seanet.n_filters < self.seanet.compress:
            raise CheckpointError(
                f"Mimi's configuration: seanet.n_filters is {self.seanet.n_filters}, which seanet.compress divides to 0"
            )
        semantic, total = self.quantizer.n_q_semantic, self.quantizer.n_q
        if not semantic <= self.num_codebooks <= total:
            raise CheckpointError(
                f"Mimi's configuration: num_codebooks is {self.num_codebooks}; {semantic} to {total} can be used"
            )

    @property
    def stride(self) -> int:
        """Steps of the encoder a frame."""
        return round(self.sample_rate / self.frame_rate / self.seanet.hop)

    @property
    def frame_size(self) -> int:
        """Samples a frame."""
        return self.seanet.hop * self.stride

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> MimiConfig:
        """From parsed JSON. Raises CheckpointError naming keys that are unknown or missing, or values without use."""
        try:
            return TypeAdapter(cls).validate_python(raw)
        except ValidationError as error:
            problems = [f"{'.'.join(str(key) for key in each['loc'])}: {each['msg']}" for each in error.errors()]
            raise CheckpointError(f"Mimi's configuration: {'; '.join(problems)}") from error

    def to_dict(self) -> dict[str, Any]:
        """As upstream's JSON file has it (upstream leaves `num_codebooks` unread)."""
        return dataclasses.asdict(self)

    def _fixed(self) -> list[tuple[str, object, object]]:
        """Options of upstream that Mimi never had otherwise: name, value, the one value that can be used."""
        seanet, transformer = self.seanet, self.transformer
        return [
            ("channels", self.channels, 1),
            ("seanet.channels", seanet.channels, 1),
            ("seanet.causal", seanet.causal, True),
            ("seanet.activation", seanet.activation, "ELU"),
            ("seanet.norm", seanet.norm, "none"),
            ("seanet.pad_mode", seanet.pad_mode, "constant"),
            ("seanet.true_skip", seanet.true_skip, True),
            ("transformer.causal", transformer.causal, True),
            ("transformer.conv_layout", transformer.conv_layout, True),
            ("transformer.gating", transformer.gating, "none"),
            ("transformer.norm", transformer.norm, "layer_norm"),
            ("transformer.positional_embedding", transformer.positional_embedding, "rope"),
            ("transformer.input_dimension", transformer.input_dimension, seanet.dimension),
            ("transformer.output_dimensions", transformer.output_dimensions, (seanet.dimension,)),
            ("quantizer.input_dimension", self.quantizer.input_dimension, seanet.dimension),
            ("quantizer.output_dimension", self.quantizer.output_dimension, seanet.dimension),
        ]


PUBLISHED = MimiConfig(
    sample_rate=24000,
    channels=1,
    frame_rate=12.5,
    seanet=SeanetConfig(
        channels=1,
        dimension=512,
        causal=True,
        n_filters=64,
        n_residual_layers=1,
        activation="ELU",
        compress=2,
        dilation_base=2,
        disable_norm_outer_blocks=0,
        kernel_size=7,
        residual_kernel_size=3,
        last_kernel_size=3,
        norm="none",
        pad_mode="constant",
        ratios=(8, 6, 5, 4),
        true_skip=True,
    ),
    quantizer=QuantizerConfig(dimension=256, n_q=32, bins=2048, input_dimension=512, output_dimension=512),
    transformer=TransformerConfig(
        d_model=512,
        num_heads=8,
        num_layers=8,
        causal=True,
        layer_scale=0.01,
        context=250,
        conv_layout=True,
        max_period=10000.0,
        gating="none",
        norm="layer_norm",
        positional_embedding="rope",
        dim_feedforward=2048,
        input_dimension=512,
        output_dimensions=(512,),
    ),
)
"""The codec beside the published Moshi and J-Moshi checkpoints."""
