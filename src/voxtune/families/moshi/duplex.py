"""A live conversation with Moshi: a frame of the partner in, a frame of the model out."""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence

import torch
from torch import Tensor

from voxtune.families.family import DialogueSettings, Duplex
from voxtune.families.moshi.frames import FrameSampling, frame_sampling, next_frame
from voxtune.families.moshi.layout import MoshiLayout
from voxtune.families.moshi.model import Moshi
from voxtune.families.moshi.temporal import Cache
from voxtune.families.moshi.tokenizer import METASPACE
from voxtune.parts.sampling import Noise

BYTE = re.compile(r"<0x([0-9A-F]{2})>")
"""How SentencePiece writes a byte of a character that is not in its vocabulary."""


class LiveRows:
    """A batch of conversations on tokens, frame by frame. Of a model that predicts both speakers, only the first is.

    seeds: of each conversation's random numbers. All memory is taken once. Source of the numbers: kyutai-labs/moshi,
    models/lm.py (LMGen).
    """

    @torch.inference_mode()
    def __init__(self, model: Moshi, sampling: FrameSampling, seeds: Sequence[int]) -> None:
        self.model, self.sampling, self.seeds = model, sampling, seeds
        config, self.device = model.config, model.text_linear.weight.device
        batch, self.longest = len(seeds), max(config.delays)
        self.own = 1 + config.codebooks
        self.delays = torch.tensor(config.delays, device=self.device)
        self.initial = torch.tensor(config.initial_tokens, device=self.device)
        self.cache = Cache(config, batch, model.text_linear.weight)
        self.said = torch.empty(batch, self.own, 1 + self.longest, dtype=torch.long, device=self.device)
        self.heard = self.said.new_empty(batch, config.codebooks, 1 + self.longest)
        self.reset()

    @torch.inference_mode()
    def reset(self) -> None:
        """Begin anew, with the same random numbers."""
        self.frame = 0
        self.cache.frames = 0
        self.noise = Noise(self.seeds, self.device)
        self.said.copy_(self.initial[: self.own, None])
        self.heard.copy_(self.initial[self.own :, None])

    @torch.inference_mode()
    def step(self, codes: Tensor) -> Tensor | None:
        """The partner's codes of a frame [batch, n_q / 2] in; text and codes of the newest complete frame of the model
        [batch, 1 + n_q / 2] out, None in the first frames, as many as the longest delay. Does not wait for the device.

        The codes of the very first frame are not heard, as upstream has it.
        """
        own, delays = self.own, self.delays
        # The columns of `heard` are this frame and the ones after it, those of `said` this frame and the ones before.
        self.heard = torch.cat([self.heard[:, :, 1:], self.heard[:, :, :1]], 2)
        self.heard.scatter_(2, delays[own:].expand_as(codes)[..., None], codes[..., None])
        frame = torch.cat([self.said[:, :, -1], self.heard[:, :, 0]], 1)
        if self.frame <= self.longest:
            frame = torch.where(delays >= self.frame, self.initial, frame)
        state = self.model.advance(frame, self.cache)
        drawn = next_frame(self.model, state, self.sampling, self.noise, own - 1)
        self.said = torch.cat([self.said[:, :, 1:], drawn[:, :, None]], 2)
        self.frame += 1
        if self.frame <= self.longest:
            return None
        return self.said.gather(2, delays[:own].expand_as(drawn)[..., None])[..., 0]


class MoshiDuplex(Duplex):
    """One conversation, from waveform to waveform.

    Source of the rules: kyutai-labs/moshi, server.py (the codec begins anew after the first frame).
    """

    def __init__(self, model: Moshi, layout: MoshiLayout, settings: DialogueSettings) -> None:
        self.assets = layout.assets
        codec = layout.assets.codec.to(model.text_linear.weight.device)
        self.sample_rate, self.frame_size = codec.sample_rate, codec.frame_size
        self.encoder, self.decoder = codec.encoder_stream(1), codec.decoder_stream(1)
        self.bytes = codecs.getincrementaldecoder("utf-8")("replace")
        self.rows = LiveRows(model, frame_sampling(settings), [settings.seed])

    def reset(self) -> None:
        self.encoder.memory.forget()
        self.decoder.memory.forget()
        self.bytes.reset()
        self.rows.reset()

    def step(self, waveform: Tensor) -> tuple[Tensor | None, str]:
        codes = self.encoder.step(waveform[None])
        if self.rows.frame == 0:
            self.encoder.memory.forget()
        tokens = self.rows.step(codes[:, :, 0])
        if tokens is None:
            return None, ""
        spoken = self.decoder.step(tokens[:, 1:, None])[0].cpu()
        return spoken, self._text(int(tokens[0, 0]))

    def _text(self, token: int) -> str:
        """What a token adds to the transcript; a character that comes in bytes is there with its last one."""
        ids, tokenizer = self.assets.text, self.assets.tokenizer
        if token in (ids.padding, ids.end_of_padding) or not tokenizer.is_text(token):
            return ""
        piece = tokenizer.piece(token)
        if byte := BYTE.fullmatch(piece):
            return self.bytes.decode(bytes.fromhex(byte[1]))
        return piece.replace(METASPACE, " ")
