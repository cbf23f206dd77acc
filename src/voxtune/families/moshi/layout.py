"""Dialogues to the token streams of Moshi: text and codes of the one that the model plays, codes of the other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from voxtune.data.audio import Resampler
from voxtune.data.encoded import place, read_encoded
from voxtune.data.example import AudioInput, Example
from voxtune.data.sample import SPEAKERS, Dialogue, Sample
from voxtune.errors import DataError
from voxtune.families.family import Layout, Size
from voxtune.families.moshi.assets import Assets
from voxtune.families.moshi.config import LmConfig, Options
from voxtune.families.moshi.delays import delayed, labels_of
from voxtune.families.moshi.interleaved_text import interleaved_text, words_from
from voxtune.families.moshi.running_text import running_text
from voxtune.families.moshi.text import FrameText


class MoshiLayout(Layout):
    """Frames of 1 + n_q streams.

    jmoshi: a whole dialogue is one row, initial tokens before it, and long rows are split wherever that falls; a later
    piece begins with the last column of the one before it, so that every frame is learned (upstream loses one there).
    kyutai: a long dialogue is split first, and each piece is a row that begins anew.
    """

    resampler: Resampler = "sinc"  # upstream's, so that codes are its own

    def __init__(self, config: LmConfig, options: Options, assets: Assets) -> None:
        self.config, self.options, self.assets = config, options, assets
        self.sample_rate = assets.codec.sample_rate
        self.margin = 1 + max(config.delays)

    def problems(self, sample: Sample, seconds: Sequence[float]) -> list[str]:
        if sample.dialogue is None:
            return ["a conversation of turns; Moshi learns from dialogues: two speakers at once, and when each word is"]
        if len({self._frames_in(s) for s in seconds}) > 1:
            lengths = " and ".join(f"{s:.2f} s" for s in seconds)
            return [f"the two speakers' recordings last {lengths}; cut or fill them to the same length"]
        if sample.dialogue.encoded is None:
            return []
        try:
            self.tokens(sample, [])
        except DataError as error:
            return [str(error)]
        return []

    def warnings(self, sample: Sample, seconds: Sequence[float]) -> list[str]:
        dialogue = _dialogue(sample)
        if dialogue.encoded is not None:
            return []
        found = []
        for speaker in self.options.speakers:
            text = self._text(dialogue, speaker, self._frames_in(seconds[0]))
            if text.lost:
                found.append(
                    f"{text.lost} text tokens of speaker {speaker} find no frame and are not learned: words behind the "
                    "end of the audio, or too many in too short a time"
                )
            if text.unknown:
                found.append(
                    f"{text.unknown} text tokens of speaker {speaker} are unknown to the tokenizer: other characters "
                    "than it was made for"
                )
        return found

    def views(self, sample: Sample, seconds: Sequence[float]) -> list[Sample]:
        dialogue = _dialogue(sample)
        count = self._pieces(self._frames(dialogue, seconds))
        return [
            sample.model_copy(
                update={"dialogue": dialogue.model_copy(update={"main": speaker, "piece": (piece, count)})}
            )
            for speaker in self.options.speakers
            for piece in range(count)
        ]

    def size(self, sample: Sample, seconds: Sequence[float]) -> Size:
        dialogue = _dialogue(sample)
        start, end = self._span(self._frames(dialogue, seconds), dialogue.piece)
        columns = end - start + (self.margin if self.options.convention == "kyutai" else 0)
        return Size(columns, 0, columns - 1, sample.duration(seconds) / dialogue.piece[1])

    def example(
        self, sample: Sample, audio: Sequence[Tensor | AudioInput], random: np.random.Generator | None = None
    ) -> Example:
        tokens = self.tokens(sample, audio)
        start, end = self._span(tokens.shape[1], _dialogue(sample).piece)
        padding = self.assets.text.padding
        if self.options.convention == "jmoshi":
            row = delayed(tokens, self.config, padding)[:, start:end]
        else:
            row = delayed(tokens[:, start:end], self.config, padding)
        return Example(sample.key, row, labels_of(row, self.config))

    def tokens(self, sample: Sample, audio: Sequence[Tensor | AudioInput]) -> Tensor:
        """A whole dialogue without delays, int64 [1 + n_q, frames]: text and codes of its main speaker, codes of the
        other. `audio` as for `example`.

        Raises DataError when what was encoded by others does not fit the model.
        """
        dialogue = _dialogue(sample)
        order = (0, 1) if dialogue.main == "A" else (1, 0)
        if dialogue.encoded is not None:
            streams = read_encoded(dialogue.encoded, self.assets.text.padding)
            main, other = (streams[speaker] for speaker in order)
            tokens = torch.cat([main, other[1:]])
            self._check(dialogue, tokens)
            return tokens
        codes = self._codes(audio)
        main, other = (codes[speaker] for speaker in order)
        text = self._text(dialogue, dialogue.main, main.shape[1]).ids
        return torch.cat([text[None], main, other])

    def token_rows(self, sample: Sample, audio: Sequence[Tensor | AudioInput]) -> tuple[Tensor, Tensor]:
        dialogue = _dialogue(sample)
        if dialogue.encoded is not None:
            return read_encoded(dialogue.encoded, self.assets.text.padding)
        codes_a, codes_b = self._codes(audio)
        text_a, text_b = (self._text(dialogue, speaker, codes_a.shape[1]).ids for speaker in SPEAKERS)
        return torch.cat([text_a[None], codes_a]), torch.cat([text_b[None], codes_b])

    def _codes(self, audio: Sequence[Tensor | AudioInput]) -> list[Tensor]:
        """Codes of both speakers, int64 [codebooks, frames]."""
        waveforms = [item for item in audio if isinstance(item, Tensor)]
        encoded = iter(self.assets.codec.encode(waveforms) if waveforms else [])
        return [next(encoded) if isinstance(item, Tensor) else item.features.T.long() for item in audio]

    def _text(self, dialogue: Dialogue, speaker: Literal["A", "B"], frames: int) -> FrameText:
        """A speaker's text on the frames of the whole dialogue."""
        assets, rate = self.assets, self.assets.codec.frame_rate
        own = [word for word in dialogue.words if word.speaker == speaker]
        if self.options.convention == "jmoshi":
            return running_text(
                own,
                assets.tokenizer,
                frame_rate=rate,
                whitespace=assets.whitespace,
                ids=assets.text,
                frames=frames,
            )
        spans = [self._span(frames, (piece, dialogue.piece[1])) for piece in range(dialogue.piece[1])]
        parts = [
            interleaved_text(
                words_from(own, start / rate, (end - start) / rate),
                assets.tokenizer,
                main=speaker,
                frame_rate=rate,
                frames=end - start,
                ids=assets.text,
            )
            for start, end in spans
        ]
        return FrameText(
            torch.cat([part.ids for part in parts]),
            sum(part.lost for part in parts),
            sum(part.unknown for part in parts),
        )

    def _frames_in(self, seconds: float) -> int:
        """Frames of a recording; of samples that are brought to the codec's rate there are ceil(seconds * rate)."""
        samples = math.ceil(seconds * self.sample_rate - 1e-4)
        return math.ceil(samples / self.assets.codec.frame_size)

    def _frames(self, dialogue: Dialogue, seconds: Sequence[float]) -> int:
        return dialogue.encoded.frames if dialogue.encoded else self._frames_in(seconds[0])

    def _pieces(self, frames: int) -> int:
        """The fewest pieces of a dialogue whose rows are not longer than `max_frames`."""
        most = self.options.max_frames
        if most is None:
            return 1
        if self.options.convention == "jmoshi":
            return math.ceil((frames + self.margin) / most)
        return math.ceil(frames / max(1, most - self.margin))

    def _span(self, frames: int, piece: tuple[int, int]) -> tuple[int, int]:
        """Where a piece begins and ends: in columns of the row (jmoshi), or in frames (kyutai)."""
        number, count = piece
        one_row = self.options.convention == "jmoshi"
        size, longer = divmod(frames + self.margin if one_row else frames, count)
        start = number * size + min(number, longer)
        context = 1 if one_row and number else 0
        return start - context, start + size + (number < longer)

    def _check(self, dialogue: Dialogue, tokens: Tensor) -> None:
        assert dialogue.encoded is not None
        where = place(dialogue.encoded)
        if len(tokens) != 1 + self.config.n_q:
            raise DataError(
                f"{where}: {len(tokens) // 2} codebooks a speaker, this model has {self.config.codebooks}; encode the "
                "recordings with its own codec"
            )
        limits = torch.tensor(self.config.initial_tokens)[:, None]
        if len(wrong := ((tokens < 0) | (tokens >= limits)).nonzero()):
            stream, frame = wrong[0].tolist()
            raise DataError(
                f"{where}: token {int(tokens[stream, frame])} of stream {stream} in frame {frame} is not one of the "
                f"model's {int(limits[stream])}; was another tokenizer or codec used?"
            )


def _dialogue(sample: Sample) -> Dialogue:
    if sample.dialogue is None:
        raise ValueError(f"{sample.key} has turns; `problems` refuses it")
    return sample.dialogue


def _with_dialogue(sample: Sample, dialogue: Dialogue) -> Sample:
    return sample.model_copy(update={"dialogue": dialogue})
