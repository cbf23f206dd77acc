"""The network of Fun-ASR-Nano: SAN-M encoder, adaptor, Qwen3, and the CTC branch where a checkpoint has one.

Module names are upstream's, so that a state dict is upstream's `model.pt` as it is.
Source of the numbers: funasr/models/fun_asr_nano/model.py.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from transformers import Qwen3Config, Qwen3ForCausalLM

from voxtune.data.example import IGNORED, Batch
from voxtune.families.family import Model
from voxtune.families.fun_asr_nano.assets import Assets
from voxtune.families.fun_asr_nano.config import FunAsrNanoConfig
from voxtune.parts.attention import Segments
from voxtune.parts.cross_entropy import cross_entropy_sum
from voxtune.parts.ctc import ctc_loss_sum
from voxtune.parts.packed_llm import PACKED, packed_hidden_states
from voxtune.parts.sanm import SanmEncoder
from voxtune.parts.transformer_adaptor import TransformerAdaptor

ENCODER = "audio_encoder"
ADAPTOR = "audio_adaptor"


class CtcHead(nn.Module):
    """The classifier behind the CTC decoder."""

    def __init__(self, width: int, vocabulary: int) -> None:
        super().__init__()
        self.ctc_lo = nn.Linear(width, vocabulary)

    def forward(self, x: Tensor) -> Tensor:
        return self.ctc_lo(x).float().log_softmax(-1)  # type: ignore[no-any-return]


class FunAsrNano(Model):
    """Speech and prompt in, transcript out.

    `forward(batch)` gives the sums of the negative log-likelihood: "text" (language model) and, when `ctc_weight`
    is not 0, "ctc".
    """

    def __init__(self, config: FunAsrNanoConfig, *, ctc_weight: float = 0.0) -> None:
        super().__init__()
        self.config = config
        self.audio_encoder = SanmEncoder(config.encoder)
        self.audio_adaptor = TransformerAdaptor(config.adaptor)
        self.llm = Qwen3ForCausalLM._from_config(Qwen3Config(**config.llm), attn_implementation=PACKED)
        self.ctc_decoder = TransformerAdaptor(config.ctc_decoder) if config.ctc_decoder else None
        self.ctc = CtcHead(config.ctc_decoder.llm_dim, config.ctc_vocabulary) if config.ctc_decoder else None
        self.ctc_weight = ctc_weight
        self.assets: Assets | None = None
        """The folder that the model was loaded from, without its weights."""

    @property
    def stream_weights(self) -> dict[str, float]:
        return {"text": 1.0, "ctc": self.ctc_weight} if self.ctc_weight else {"text": 1.0}

    def label_counts(self, batch: Batch) -> dict[str, float]:
        counts: dict[str, float] = {"text": int((batch.labels[0] != IGNORED).sum())}
        if self.ctc_weight:
            counts["ctc"] = sum(len(audio.labels) for audio in batch.audio)
        return counts

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        segments = Segments(batch.lengths, batch.tokens.device)
        encoder_out, encoder_segments = self.encode(batch)
        embeddings = self.insert_audio(batch, encoder_out, encoder_segments)
        hidden = packed_hidden_states(self.llm, embeddings, segments)
        labels = batch.labels[0]
        predicts = (labels[1:] != IGNORED).nonzero()[:, 0]
        sums = {"text": cross_entropy_sum(hidden[predicts], self.llm.lm_head.weight, labels[predicts + 1])}
        if self.ctc_weight:
            sums["ctc"] = self._ctc_sum(batch, encoder_out, encoder_segments)
        return sums

    def encode(self, batch: Batch) -> tuple[Tensor | None, Segments | None]:
        """Encoder frames of the batch's audio, in its order; (None, None) when the encoder has nothing to give.

        Audio that was encoded ahead is taken as it is.
        """
        inputs = [audio for audio in batch.audio if audio.encoded != ADAPTOR]
        if not inputs:
            return None, None
        raw = [audio.features for audio in inputs if audio.encoded is None]
        fresh = iter(self.encoder_frames(raw) if raw else ())
        frames = [next(fresh) if audio.encoded is None else audio.features for audio in inputs]
        dtype = self.audio_adaptor.linear1.weight.dtype
        lengths = [len(f) for f in frames]
        return torch.cat([f.to(dtype) for f in frames]), Segments(lengths, batch.tokens.device)

    def encoder_frames(self, features: list[Tensor]) -> tuple[Tensor, ...]:
        """Encoder frames of each recording from its feature rows."""
        rows = torch.cat(features).to(self.audio_encoder.tp_norm.weight.dtype)
        segments = Segments([len(f) for f in features], rows.device)
        return self.audio_encoder(rows, segments).split(segments.lengths)  # type: ignore[no-any-return]

    def adaptor_frames(self, frames: list[Tensor]) -> tuple[Tensor, ...]:
        """Adaptor frames of each recording from its encoder frames."""
        rows = torch.cat(frames).to(self.audio_adaptor.linear1.weight.dtype)
        adapted, segments = self.audio_adaptor(rows, Segments([len(f) for f in frames], rows.device))
        return adapted.split(segments.lengths)  # type: ignore[no-any-return]

    def insert_audio(self, batch: Batch, encoder_out: Tensor | None, segments: Segments | None) -> Tensor:
        """Embeddings of the tokens [N, width], with the first frames of each recording at its placeholders."""
        embeddings: Tensor = self.llm.get_input_embeddings()(batch.tokens[0])
        if not batch.audio:
            return embeddings
        adapted: Iterator[Tensor] = iter(())
        if encoder_out is not None and segments is not None:
            frames, adapted_segments = self.audio_adaptor(encoder_out, segments)
            adapted = iter(frames.split(adapted_segments.lengths))
        outputs = [audio.features if audio.encoded == ADAPTOR else next(adapted) for audio in batch.audio]
        first = [frames[: audio.frames] for frames, audio in zip(outputs, batch.audio, strict=True)]
        places = [torch.arange(audio.start, audio.start + audio.frames) for audio in batch.audio]
        return embeddings.index_copy(0, torch.cat(places).to(embeddings.device), torch.cat(first).to(embeddings.dtype))

    def ctc_log_probs(self, frames: Tensor, segments: Segments) -> tuple[Tensor, ...]:
        """CTC log-probabilities of each recording, [frames, vocabulary]; needs a checkpoint with the CTC branch."""
        if self.ctc_decoder is None or self.ctc is None:
            raise ValueError("this checkpoint has no CTC branch")
        decoded, segments = self.ctc_decoder(frames, segments)
        return self.ctc(decoded).split(segments.lengths)  # type: ignore[no-any-return]

    def _ctc_sum(self, batch: Batch, encoder_out: Tensor | None, segments: Segments | None) -> Tensor:
        if encoder_out is None or segments is None:
            return torch.zeros((), device=batch.tokens.device)
        log_probs = self.ctc_log_probs(encoder_out, segments)
        return ctc_loss_sum(list(log_probs), [audio.labels for audio in batch.audio], self.config.ctc_blank)
