"""Mimi: waveforms to codes and back, whole, in batches, or as they come in."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from voxtune.errors import VoxtuneError
from voxtune.parts.mimi.config import MimiConfig
from voxtune.parts.mimi.convolution import CausalConv, CausalTransposedConv
from voxtune.parts.mimi.memory import Memory
from voxtune.parts.mimi.quantizer import SplitQuantizer
from voxtune.parts.mimi.seanet import SeanetDecoder, SeanetEncoder
from voxtune.parts.mimi.transformer import WindowedTransformer


class Mimi(nn.Module):
    """The codec. `codebooks` of the configuration's `n_q` are in use: what `encode` gives, and what models speak.

    State dict: upstream's published names; see `voxtune.parts.mimi.weights` for its other ones.
    Source of the numbers: kyutai-labs/moshi 0.2.13, models/compression.py.
    """

    def __init__(self, config: MimiConfig, codebooks: int | None = None) -> None:
        super().__init__()
        self.config = config
        self.codebooks = config.num_codebooks if codebooks is None else codebooks
        if not config.quantizer.n_q_semantic <= self.codebooks <= config.quantizer.n_q:
            raise VoxtuneError(f"{self.codebooks} codebooks asked of a codec that has {config.quantizer.n_q}")
        width, stride = config.seanet.dimension, config.stride
        self.encoder = SeanetEncoder(config.seanet)
        self.encoder_transformer = WindowedTransformer(config.transformer)
        self.quantizer = SplitQuantizer(config.quantizer)
        self.decoder_transformer = WindowedTransformer(config.transformer)
        self.decoder = SeanetDecoder(config.seanet)
        if stride > 1:
            down = CausalConv(width, width, 2 * stride, stride=stride, bias=False, replicate=True)
            up = CausalTransposedConv(width, width, stride, groups=width, bias=False)
            self.downsample = nn.ModuleDict({"conv": down})
            self.upsample = nn.ModuleDict({"convtr": up})

    @property
    def sample_rate(self) -> int:
        """Samples a second."""
        return self.config.sample_rate

    @property
    def frame_rate(self) -> float:
        """Frames of codes a second."""
        return self.config.frame_rate

    @property
    def frame_size(self) -> int:
        """Samples a frame."""
        return self.config.frame_size

    def encode_latent(self, waveform: Tensor, memory: Memory | None = None) -> Tensor:
        """waveform float32 [batch, 1, frames * frame_size] -> latent before quantisation [batch, dimension, frames]."""
        x = self.encoder_transformer(self.encoder(waveform, memory), memory)
        return self.downsample["conv"](x, memory) if self.config.stride > 1 else x  # type: ignore[no-any-return]

    def decode_latent(self, latent: Tensor, memory: Memory | None = None) -> Tensor:
        """quantised latent [batch, dimension, frames] -> waveform [batch, 1, frames * frame_size]."""
        x = self.upsample["convtr"](latent, memory) if self.config.stride > 1 else latent
        return self.decoder(self.decoder_transformer(x, memory), memory)  # type: ignore[no-any-return]

    def encode(self, waveforms: Sequence[Tensor]) -> list[Tensor]:
        """Float32 waveforms [samples] -> int64 codes [codebooks, ceil(samples / frame_size)] of each."""
        return [self.encoder_stream(1).step(self._whole_frames(waveform)[None])[0] for waveform in waveforms]

    def decode(self, codes: Sequence[Tensor]) -> list[Tensor]:
        """int64 codes [any number of codebooks, frames] -> float32 waveforms [frames * frame_size]."""
        return [self.decoder_stream(1).step(each[None])[0] for each in codes]

    def encoder_stream(self, batch: int) -> EncoderStream:
        """A new stream of `batch` waveforms that come in piece by piece."""
        return EncoderStream(self, batch)

    def decoder_stream(self, batch: int) -> DecoderStream:
        """A new stream of codes of `batch` waveforms that come in piece by piece."""
        return DecoderStream(self, batch)

    def _whole_frames(self, waveform: Tensor) -> Tensor:
        return F.pad(waveform, (0, -len(waveform) % self.frame_size))


class EncoderStream:
    """Waveforms to codes as they come in; the pieces may have any number of frames and give what the whole gives."""

    def __init__(self, codec: Mimi, batch: int) -> None:
        self.codec = codec
        self.batch = batch
        self.memory = Memory()

    @torch.no_grad()
    def step(self, waveform: Tensor) -> Tensor:
        """waveform [batch, k * frame_size] -> codes [batch, codebooks, k]."""
        latent = self.codec.encode_latent(waveform[:, None], self.memory)
        return self.codec.quantizer.encode(latent, self.codec.codebooks)


class DecoderStream:
    """Codes to waveforms as they come in."""

    def __init__(self, codec: Mimi, batch: int) -> None:
        self.codec = codec
        self.batch = batch
        self.memory = Memory()

    @torch.no_grad()
    def step(self, codes: Tensor) -> Tensor:
        """codes [batch, codebooks, k] -> waveform [batch, k * frame_size]."""
        return self.codec.decode_latent(self.codec.quantizer.decode(codes), self.memory)[:, 0]
