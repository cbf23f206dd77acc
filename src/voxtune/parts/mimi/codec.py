"""Mimi: waveforms to codes and back, whole, in batches, or as they come in."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from voxtune.errors import VoxtuneError
from voxtune.parts.mimi.config import MimiConfig
from voxtune.parts.mimi.convolution import CausalConv, Upsampling
from voxtune.parts.mimi.memory import Memory
from voxtune.parts.mimi.quantizer import SplitQuantizer
from voxtune.parts.mimi.seanet import SeanetDecoder, SeanetEncoder
from voxtune.parts.mimi.transformer import WindowedTransformer

FRAMES_ON_CPU, FRAMES_ON_GPU = 125, 1024
"""Frames of all signals together that go through the network at once; on a CPU few enough for its cache."""

KEPT_BYTES = 31 << 20


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
            self.downsample = nn.ModuleDict({"conv": down})
            self.upsample = nn.ModuleDict({"convtr": Upsampling(width, stride)})

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

    @property
    def device(self) -> torch.device:
        """Where the weights lie; waveforms and codes are brought there."""
        return self.quantizer.rvq_first.input_proj.weight.device

    def encode_latent(self, waveform: Tensor, memory: Memory | None = None) -> Tensor:
        """waveform float32 [batch, 1, frames * frame_size] -> latent before quantisation [batch, dimension, frames]."""
        memory = memory or Memory()
        x = self.encoder_transformer(self.encoder(waveform.transpose(1, 2), memory), memory)
        if self.config.stride > 1:
            x = self.downsample["conv"](x, memory)
        return x.transpose(1, 2)  # type: ignore[no-any-return]

    def decode_latent(self, latent: Tensor, memory: Memory | None = None) -> Tensor:
        """quantised latent [batch, dimension, frames] -> waveform [batch, 1, frames * frame_size]."""
        memory = memory or Memory()
        x = latent.transpose(1, 2)
        if self.config.stride > 1:
            x = self.upsample["convtr"](x, memory)
        return self.decoder(self.decoder_transformer(x, memory), memory).transpose(1, 2)  # type: ignore[no-any-return]

    @torch.no_grad()
    def encode(self, waveforms: Sequence[Tensor]) -> list[Tensor]:
        """Float32 waveforms [samples] -> int64 codes [codebooks, ceil(samples / frame_size)] of each.

        Waveforms of like length go together; the end is filled up with zeros. Each gets the codes that it gets alone.
        """
        for number, waveform in enumerate(waveforms):
            if waveform.dim() != 1 or len(waveform) == 0 or not waveform.is_floating_point():
                kind = f"{waveform.dtype} {list(waveform.shape)}"
                raise VoxtuneError(f"Waveform {number} to encode is {kind}; what is needed is torch.float32 [samples]")
        memory = Memory()
        codes: dict[int, Tensor] = {}
        frames = [-(-len(waveform) // self.frame_size) for waveform in waveforms]
        for group in self._groups(frames):
            batch = waveforms[0].new_zeros(len(group), frames[group[-1]] * self.frame_size)
            for row, number in zip(batch, group, strict=True):
                row[: len(waveforms[number])] = waveforms[number]
            memory.forget()
            for row, number in zip(self._encode(batch, memory), group, strict=True):
                codes[number] = row[:, : frames[number]]
        return [codes[number] for number in range(len(waveforms))]

    @torch.no_grad()
    def decode(self, codes: Sequence[Tensor]) -> list[Tensor]:
        """int64 codes [codebooks, frames], all of as many codebooks -> float32 waveforms [frames * frame_size]."""
        for number, each in enumerate(codes):
            if each.dim() != 2 or each.shape[1] == 0 or len(each) != len(codes[0]):
                raise VoxtuneError(f"Codes {number} have the shape {list(each.shape)}, not [{len(codes[0])}, frames]")
        memory = Memory()
        waveforms: dict[int, Tensor] = {}
        for group in self._groups([each.shape[1] for each in codes]):
            batch = pad_sequence([codes[number].T for number in group], batch_first=True).transpose(1, 2)
            memory.forget()
            for row, number in zip(self._decode(batch, memory), group, strict=True):
                waveforms[number] = row[: codes[number].shape[1] * self.frame_size]
        return [waveforms[number] for number in range(len(codes))]

    def encoder_stream(self, batch: int) -> EncoderStream:
        """A new stream of `batch` waveforms."""
        return EncoderStream(self, batch)

    def decoder_stream(self, batch: int) -> DecoderStream:
        """A new stream of codes of `batch` waveforms."""
        return DecoderStream(self, batch)

    def _encode(self, waveform: Tensor, memory: Memory) -> Tensor:
        """waveform [batch, frames * frame_size] -> codes [batch, codebooks, frames], in pieces."""
        frames = self._piece(len(waveform), waveform.shape[1] // self.frame_size)
        pieces = waveform.to(self.device, torch.float32).split(frames * self.frame_size, 1)
        latents = (self.encode_latent(piece[:, None], memory) for piece in pieces)
        return torch.cat([self.quantizer.encode(latent, self.codebooks, memory) for latent in latents], 2)

    def _decode(self, codes: Tensor, memory: Memory) -> Tensor:
        """codes [batch, codebooks, frames] -> waveform [batch, frames * frame_size], in pieces."""
        sizes = self.config.quantizer
        if not sizes.n_q_semantic <= codes.shape[1] <= sizes.n_q:
            raise VoxtuneError(f"{codes.shape[1]} codebooks to decode with a codec that has {sizes.n_q}")
        if codes.min() < 0 or codes.max() >= sizes.bins:
            raise VoxtuneError(
                f"Codes from {codes.min()} to {codes.max()} to decode; the codec has 0 to {sizes.bins - 1}"
            )
        pieces = codes.to(self.device).split(self._piece(len(codes), codes.shape[2]), 2)
        latents = (self.quantizer.decode(piece, memory) for piece in pieces)
        return torch.cat([self.decode_latent(latent, memory)[:, 0] for latent in latents], 1)

    def _piece(self, batch: int, frames: int) -> int:
        """Frames of a piece, all pieces being of like length."""
        keep_freed_memory()
        pieces = -(-frames * batch // self._at_once)
        return -(-frames // pieces)

    @property
    def _at_once(self) -> int:
        if self.device.type != "cpu":
            return FRAMES_ON_GPU
        widest = 4 * self.config.seanet.n_filters * self.frame_size
        return max(1, min(FRAMES_ON_CPU, KEPT_BYTES // widest))

    def _groups(self, frames: list[int]) -> list[list[int]]:
        """Numbers of signals that go together, the longest last: of like length, and filling one piece."""
        groups: list[list[int]] = []
        for number in sorted(range(len(frames)), key=frames.__getitem__):
            if groups and (len(groups[-1]) + 1) * frames[number] <= self._at_once:
                groups[-1].append(number)
            else:
                groups.append([number])
        return groups


@cache
def keep_freed_memory() -> None:
    """Make glibc keep freed blocks of up to `KEPT_BYTES`, as it does after it has freed one of that size.

    Else it gives them back to the system after every layer, and getting their pages anew takes longer than the layer.
    """
    torch.empty(KEPT_BYTES, dtype=torch.uint8)


class EncoderStream:
    """Waveforms to codes as they come in: pieces of any number of frames give what the whole gives.

    The codec's weights must not change as long as the stream is used.
    """

    def __init__(self, codec: Mimi, batch: int) -> None:
        self.codec = codec
        self.batch = batch
        self.memory = Memory()

    @torch.no_grad()
    def step(self, waveform: Tensor) -> Tensor:
        """waveform [batch, k * frame_size] -> codes [batch, codebooks, k]."""
        size = self.codec.frame_size
        if waveform.dim() != 2 or len(waveform) != self.batch or waveform.shape[1] % size or waveform.shape[1] == 0:
            raise VoxtuneError(
                f"A piece to encode has the shape {list(waveform.shape)}, not [{self.batch}, k * {size}]"
            )
        return self.codec._encode(waveform, self.memory)


class DecoderStream:
    """Codes to waveforms as they come in; the counterpart of `EncoderStream`."""

    def __init__(self, codec: Mimi, batch: int) -> None:
        self.codec = codec
        self.batch = batch
        self.memory = Memory()

    @torch.no_grad()
    def step(self, codes: Tensor) -> Tensor:
        """codes [batch, codebooks, k] -> waveform [batch, k * frame_size]."""
        if codes.dim() != 3 or len(codes) != self.batch or codes.shape[2] == 0:
            raise VoxtuneError(f"A piece to decode has the shape {list(codes.shape)}, not [{self.batch}, codebooks, k]")
        return self.codec._decode(codes, self.memory)
