"""Moshi's language model over packed dialogues, with upstream's names where a tensor is upstream's.

Streams of a frame: the text of the one that the model plays, its codes, its partner's codes. All are predicted one
frame ahead: the text and, in depth, the codes one after the other. Frames come with delays (see `delays`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from voxtune.data.example import IGNORED, Batch
from voxtune.families.family import Model
from voxtune.families.moshi.assets import Assets
from voxtune.families.moshi.config import LmConfig, Options
from voxtune.families.moshi.depth import DepthTransformer
from voxtune.families.moshi.temporal import Cache, TemporalTransformer, normalisation
from voxtune.parts.attention import Segments
from voxtune.parts.cross_entropy import cross_entropy_sum, cross_entropy_sums
from voxtune.parts.lora import weight_of
from voxtune.parts.step_linear import StepLinear

NO_TOKEN = -1
"""In a stream's place: it adds nothing to the sum of embeddings."""


class CodeEmbedding(nn.Module):
    """Embeddings of several streams of codes in one table, [streams, card + 1, width]."""

    def __init__(self, streams: int, card: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(streams, card + 1, width))

    def rows(self, codes: Tensor) -> Tensor:
        """Places [streams, positions] in the flat table; NO_TOKEN gives the first of its stream."""
        first = torch.arange(len(codes), device=codes.device)[:, None] * self.weight.shape[1]
        return codes.clamp(min=0) + first

    def forward(self, codes: Tensor) -> Tensor:
        """[streams, positions] to [streams, positions, width], zeros for NO_TOKEN."""
        return F.embedding(self.rows(codes), self.weight.flatten(0, 1)) * (codes != NO_TOKEN)[..., None]

    def summed(self, codes: Tensor) -> Tensor:
        """[streams, positions] to the sum over streams, [positions, width]."""
        table = self.weight.flatten(0, 1)
        present = (codes != NO_TOKEN).T.to(table.dtype)
        return F.embedding_bag(self.rows(codes).T.contiguous(), table, mode="sum", per_sample_weights=present)


class TextEmbedding(nn.Embedding):
    """Embedding of text tokens, zeros for NO_TOKEN."""

    def forward(self, tokens: Tensor) -> Tensor:
        """[...] to [..., width]."""
        return super().forward(tokens.clamp(min=0)) * (tokens != NO_TOKEN)[..., None]


@dataclass(frozen=True)
class Sums:
    """Sums of the negative log-likelihood of a batch: of words, of frames without one, of each codebook [dep_q]."""

    words: Tensor
    padding: Tensor
    codes: Tensor


class Moshi(Model):
    """Temporal and depth transformer. `assets`: codec, tokenizer and text rules, where they are known."""

    def __init__(self, config: LmConfig, options: Options | None = None, assets: Assets | None = None) -> None:
        super().__init__()
        self.config, self.options, self.assets = config, options or Options(), assets
        self.text_emb = TextEmbedding(config.text_card + 1, config.dim)
        self.emb = CodeEmbedding(config.n_q, config.card, config.dim)
        self.transformer = TemporalTransformer(config)
        self.out_norm = normalisation(config.norm, config.dim)
        self.text_linear = nn.Linear(config.dim, config.text_card_out or config.text_card, bias=False)
        width = config.depformer_dim
        low = config.depformer_low_rank_embeddings
        steps = range(config.dep_q)
        self.depformer_in = StepLinear(config.schedule, config.dim, width)
        self.depformer_text_emb = TextEmbedding(config.text_card + 1, low or width)
        self.depformer_text_low_rank = nn.Linear(low, width, bias=False) if low else None
        self.depformer_emb = CodeEmbedding(config.dep_q - 1, config.card, low or width)
        self.depformer_low_rank = StepLinear(steps[:-1], low, width) if low else None
        self.depformer = DepthTransformer(config)
        norm = config.depformer_norm
        self.depformer_norms = nn.ModuleList([normalisation(norm, width) for _ in steps]) if norm else None
        self.linears = StepLinear(steps, width, config.card)

    # Training

    @property
    def codebook_weights(self) -> list[float]:
        """Weight of each predicted codebook in the audio loss."""
        first, others = self.options.semantic_weight, self.options.acoustic_weight
        return [others if step % self.config.codebooks else first for step in range(self.config.dep_q)]

    @property
    def padding_ids(self) -> list[int]:
        """Text tokens that count as padding in the loss.

        nu-dialogue: the model's padding alone. kyutai: the mark in front of a word, too.
        """
        if self.options.convention == "jmoshi" or self.assets is None:
            padding = [self.config.existing_text_padding_id]
            return padding if self.options.convention == "jmoshi" else [*padding, 0]
        return [self.assets.text.padding, self.assets.text.end_of_padding]

    @property
    def stream_weights(self) -> dict[str, float]:
        """Trained are words, padding and audio, or by kyutai's convention text and audio; the rest is measured.

        Source: nu-dialogue/moshi-finetune, finetune.py (forward); kyutai-labs/moshi-finetune, finetune/loss.py.
        """
        if self.options.convention == "jmoshi":
            trained = {"words": 1.0, "padding": self.options.text_padding_weight, "audio": 1.0}
        else:
            trained = {"text": 1.0, "audio": 1.0, "words": 0.0, "padding": 0.0}
        return trained | dict.fromkeys(self._code_streams(), 0.0)

    def label_counts(self, batch: Batch) -> dict[str, float]:
        text = batch.labels[0]
        labelled = int((text != IGNORED).sum())
        padding = int(torch.isin(text, torch.tensor(self.padding_ids, device=text.device)).sum())
        codes = (batch.labels[1 : 1 + self.config.dep_q] != IGNORED).sum(1).tolist()
        audio = sum(weight * count for weight, count in zip(self.codebook_weights, codes, strict=True))
        counts: dict[str, float] = {"words": labelled - padding, "padding": padding, "audio": audio}
        counts["text"] = counts["words"] + self.options.text_padding_weight * padding
        counts |= {name: sum(codes[step] for step in steps) for name, steps in self._code_streams().items()}
        return {name: counts[name] for name in self.stream_weights}

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        found = self.sums(batch)
        weights = torch.tensor(self.codebook_weights, device=found.codes.device)
        sums = {"audio": (weights * found.codes).sum(), "words": found.words, "padding": found.padding}
        if self.options.convention == "kyutai":
            sums["text"] = found.words + self.options.text_padding_weight * found.padding
        sums |= {name: found.codes[steps].sum() for name, steps in self._code_streams().items()}
        weight_of_stream = self.stream_weights
        return {name: sums[name] if weight else sums[name].detach() for name, weight in weight_of_stream.items()}

    def sums(self, batch: Batch) -> Sums:
        """What a batch's labels cost, before any weights."""
        hidden = self.frames(batch.tokens, Segments(batch.lengths, batch.tokens.device))
        # A frame is predicted from the one before it; the first of a dialogue has no labels.
        before = hidden.roll(1, 0)
        text = batch.labels[0]
        padding = torch.isin(text, torch.tensor(self.padding_ids, device=text.device))
        head = weight_of(self.text_linear)
        words, empty = (
            cross_entropy_sum(before[rows], head, text[rows]) for rows in ((text != IGNORED) & ~padding, padding)
        )
        labels = batch.labels[1 : 1 + self.config.dep_q]
        rows = (labels != IGNORED).any(0).nonzero()[:, 0]
        if not len(rows):  # a muted batch: all parameters take part, with gradients of zero
            rows = torch.zeros(1, dtype=torch.long, device=labels.device)
        states = self.depth_states(before[rows], batch.tokens[: self.config.dep_q, rows])
        codes = cross_entropy_sums(states, weight_of(self.linears), labels[:, rows])
        return Sums(words, empty, codes)

    def frames(self, tokens: Tensor, segments: Segments) -> Tensor:
        """Packed tokens [1 + n_q, frames] to the normalised states that predict each next frame, [frames, dim]."""
        normalised: Tensor = self.out_norm(self.transformer(self.embed(tokens), segments))
        return normalised

    def depth_states(self, hidden: Tensor, tokens: Tensor) -> Tensor:
        """States behind the logits of each code, [dep_q, frames, depformer_dim], given the true tokens before it.

        hidden: [frames, dim]; tokens: [dep_q, frames], the text and all codes of the predicted frame but the last.
        """
        text, codes = self.depformer_text_emb(tokens[:1]), self.depformer_emb(tokens[1:])
        if self.depformer_text_low_rank is not None and self.depformer_low_rank is not None:
            text, codes = self.depformer_text_low_rank(text), self.depformer_low_rank(codes)
        inputs = self.depformer_in(hidden) + torch.cat([text, codes])
        states: Tensor = self.depformer(inputs)
        if self.depformer_norms is not None:
            states = torch.stack([norm(state) for norm, state in zip(self.depformer_norms, states, strict=True)])
        return states

    def embed(self, tokens: Tensor) -> Tensor:
        """[1 + n_q, positions] to the sum of all streams' embeddings, [positions, dim]."""
        summed: Tensor = self.text_emb(tokens[0]) + self.emb.summed(tokens[1:])
        return summed

    def _code_streams(self) -> dict[str, list[int]]:
        """The predicted codebooks by what is logged of them."""
        per = self.config.codebooks
        streams: dict[str, list[int]] = {"semantic": [0], "acoustic": list(range(1, per))}
        if self.config.user_stream:
            streams |= {"user_semantic": [per], "user_acoustic": list(range(per + 1, 2 * per))}
        return {name: steps for name, steps in streams.items() if steps}

    # Generation

    def prefill(self, prompt: Tensor, cache: Cache) -> Tensor:
        """The state behind equally long rows [batch, 1 + n_q, frames] that predicts each next frame, [batch, dim]."""
        embedded = self.embed(prompt.transpose(0, 1).flatten(1)).unflatten(0, (len(prompt), -1))
        normalised: Tensor = self.out_norm(self.transformer.prefill(embedded, cache)[:, -1])
        return normalised

    def advance(self, frame: Tensor, cache: Cache) -> Tensor:
        """The state behind one more frame of each row, [batch, 1 + n_q] to [batch, dim]."""
        normalised: Tensor = self.out_norm(self.transformer.step(self.embed(frame.T), cache))
        return normalised

    def text_logits(self, hidden: Tensor) -> Tensor:
        """[positions, dim] to float32 [positions, text_card]."""
        logits: Tensor = self.text_linear(hidden)
        return logits.float()

    def code_logits(self, step: int, hidden: Tensor, token: Tensor, memory: Tensor) -> Tensor:
        """Logits of one code of a frame, float32 [batch, card].

        hidden: [batch, dim]; token: [batch], the text at step 0, else the code of the step before; memory: the depth
        transformer's for this frame.
        """
        if step:
            table = self.depformer_emb.weight[step - 1]
            embedded = F.embedding(token.clamp(min=0), table) * (token != NO_TOKEN)[:, None]
            if self.depformer_low_rank is not None:
                embedded = self.depformer_low_rank.at(step - 1, embedded)
        else:
            embedded = self.depformer_text_emb(token)
            if self.depformer_text_low_rank is not None:
                embedded = self.depformer_text_low_rank(embedded)
        state = self.depformer.step(step, self.depformer_in.at(step, hidden) + embedded, memory)
        if self.depformer_norms is not None:
            state = self.depformer_norms[step](state)
        logits: Tensor = self.linears.at(step, state)
        return logits.float()
