"""Sizes of Mimi, under upstream's own names: its `mimi_config_name` file is this dictionary as JSON."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from voxtune.errors import CheckpointError


@dataclass(frozen=True)
class SeanetConfig:
    """The convolutional encoder and its mirror image, the decoder. `ratios` are in the decoder's order."""

    channels: int
    dimension: int
    causal: bool
    n_filters: int
    n_residual_layers: int
    activation: str
    compress: int
    dilation_base: int
    disable_norm_outer_blocks: int
    kernel_size: int
    residual_kernel_size: int
    last_kernel_size: int
    norm: str
    pad_mode: str
    ratios: tuple[int, ...]
    true_skip: bool

    @property
    def hop(self) -> int:
        """Samples a step of the encoder's output."""
        return math.prod(self.ratios)


@dataclass(frozen=True)
class QuantizerConfig:
    """Two residual quantisers side by side: the first `n_q_semantic` codebooks, and the rest."""

    dimension: int
    n_q: int
    bins: int
    input_dimension: int
    output_dimension: int
    n_q_semantic: int = 1


@dataclass(frozen=True)
class TransformerConfig:
    """The transformers after the encoder and before the decoder. `context`: steps that a step sees, itself included."""

    d_model: int
    num_heads: int
    num_layers: int
    causal: bool
    layer_scale: float | None
    context: int
    conv_layout: bool
    max_period: float
    gating: str
    norm: str
    positional_embedding: str
    dim_feedforward: int
    input_dimension: int
    output_dimensions: tuple[int, ...]


@dataclass(frozen=True)
class MimiConfig:
    """Everything that shapes the codec.

    Source of the names: kyutai-labs/moshi, models/loaders.py; `num_codebooks` is what its `set_num_codebooks` gets.
    """

    sample_rate: int
    channels: int
    frame_rate: float
    seanet: SeanetConfig
    quantizer: QuantizerConfig
    transformer: TransformerConfig
    num_codebooks: int = 8

    def __post_init__(self) -> None:
        for name, value, usable in self._fixed():
            if value != usable:
                raise CheckpointError(f"Mimi's configuration: {name} is {value!r}; only {usable!r} can be used")
        if self.stride < 1 or not math.isclose(self.frame_rate * self.frame_size, self.sample_rate):
            raise CheckpointError(
                f"Mimi's configuration: sample_rate {self.sample_rate} is not frame_rate {self.frame_rate} times a "
                f"whole number of steps of {self.seanet.hop} samples (the product of seanet.ratios)"
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
        fields = dict(_known(cls, raw, "Mimi's configuration"))
        fields["seanet"] = _section(SeanetConfig, fields["seanet"], "seanet")
        fields["quantizer"] = _section(QuantizerConfig, fields["quantizer"], "quantizer")
        fields["transformer"] = _section(TransformerConfig, fields["transformer"], "transformer")
        return cls(**fields)

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


def _section(kind: type[Any], raw: Any, name: str) -> Any:
    fields = _known(kind, raw, f"Mimi's configuration, {name}")
    return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()})


def _known(kind: type[Any], raw: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(raw, Mapping):
        raise CheckpointError(f"{where}: {raw!r} is no table of keys and values")
    fields = {field.name: field.default is dataclasses.MISSING for field in dataclasses.fields(kind)}
    if unknown := sorted(set(raw) - set(fields)):
        raise CheckpointError(f"{where}: unknown keys {', '.join(unknown)}; known are {', '.join(fields)}")
    if missing := [name for name, required in fields.items() if required and name not in raw]:
        raise CheckpointError(f"{where}: keys are missing: {', '.join(missing)}")
    return raw


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
        max_period=10000,
        gating="none",
        norm="layer_norm",
        positional_embedding="rope",
        dim_feedforward=2048,
        input_dimension=512,
        output_dimensions=(512,),
    ),
)
"""The codec beside the published Moshi and J-Moshi checkpoints."""
