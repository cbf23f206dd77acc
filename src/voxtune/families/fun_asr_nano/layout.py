"""Sample to Example: prompts, special tokens, audio placeholders, labels.

Source of the layout: funasr/datasets/fun_asr_datasets/datasets.py (training) and
funasr/models/fun_asr_nano/model.py (`get_prompt`, inference).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby
from unicodedata import normalize

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from voxtune.data.example import IGNORED, AudioInput, Example
from voxtune.data.formats.fun_asr_requests import SYSTEM, transcription_request
from voxtune.data.sample import AudioPart, Sample, Turn
from voxtune.families.family import Layout, Size
from voxtune.families.fun_asr_nano.config import FunAsrNanoConfig, Options
from voxtune.families.fun_asr_nano.prompts import context_header, hotword_context
from voxtune.parts.ctc_tokenizer import CtcTokenizer
from voxtune.parts.kaldi_frontend import INT16_SCALE, Cmvn, features
from voxtune.parts.spec_augment import spec_augment

PLACEHOLDER = 0
END = "<|im_end|>"
NO_THOUGHT = "<think>\n\n</think>\n\n"
SHORTEST_SECONDS = 0.1
LONGEST_SECONDS = 120.0
LONGEST_ANSWER = 2048
REMEMBERED_TEXTS = 1024


@dataclass(frozen=True)
class Piece:
    """A stretch of the token stream: text, or the place of a recording.

    `answer`: its tokens are trained. `transcript`: what is said in the recording, where an answer follows it.
    """

    text: str = ""
    audio: AudioPart | None = None
    answer: bool = False
    transcript: str = ""


class TokenIds:
    """Token ids of a text; specials in it are recognised, nothing is added.

    The last texts are remembered: prompts repeat, and an answer is checked, measured and laid out.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer = tokenizer
        self._remembered = lru_cache(REMEMBERED_TEXTS)(self._encode)

    def __call__(self, text: str) -> tuple[int, ...]:
        return self._remembered(text)

    def __reduce__(self) -> tuple[type[TokenIds], tuple[PreTrainedTokenizerBase]]:
        return TokenIds, (self.tokenizer,)

    def _encode(self, text: str) -> tuple[int, ...]:
        return tuple(self.tokenizer.encode(text, add_special_tokens=False))


class AsrLayout(Layout):
    """The chat layout of Fun-ASR-Nano: one token stream, recordings as placeholders of token 0."""

    def __init__(
        self,
        config: FunAsrNanoConfig,
        options: Options,
        tokenizer: PreTrainedTokenizerBase,
        cmvn: Cmvn | None,
        ctc_tokenizer: CtcTokenizer | None,
    ) -> None:
        self.config = config
        self.options = options
        self.tokenizer = tokenizer
        self.tokenize = TokenIds(tokenizer)
        self.cmvn = cmvn
        self.ctc_tokenizer = ctc_tokenizer
        self.control_tokens = {number: str(token) for number, token in tokenizer.added_tokens_decoder.items()}
        self.sample_rate = config.frontend.sample_rate
        self.resampler = options.resampler

    def problems(self, sample: Sample, seconds: Sequence[float]) -> list[str]:
        if sample.dialogue is not None:
            return ["a two-speaker dialogue; this family reads turns"]
        found = []
        if any(len(turn.audio) > 1 for turn in sample.turns):
            found.append("two recordings in one turn; the model hears one a turn: split the turn")
        if any(turn.audio for turn in sample.turns if turn.role != "user"):
            found.append("a recording in a turn that is not the user's; this family answers in text")
        limits = f"{SHORTEST_SECONDS:g} to {LONGEST_SECONDS:g} s"
        found += [
            f"audio of {length:.2f} s; the model takes {limits}: cut it or leave it out"
            for length in seconds
            if not SHORTEST_SECONDS <= length <= LONGEST_SECONDS
        ]
        answers = [turn.text for turn in sample.turns if turn.role == "assistant"]
        if not any(answer.strip() for answer in answers):
            found.append("no text to learn: the answer is empty")
        return found + [problem for answer in answers if (problem := self._answer_problem(answer))]

    def _answer_problem(self, answer: str) -> str | None:
        if half := next((character for character in answer if "\ud800" <= character <= "\udfff"), None):
            return f"{half!r} is half a character: replace it"
        *ids, _ = self.tokenize(answer + END)  # as it is laid out
        if len(ids) > LONGEST_ANSWER:
            return f"an answer of {len(ids)} tokens; the model takes {LONGEST_ANSWER}: cut the recording at a pause"
        if control := sorted({self.control_tokens[i] for i in ids if i in self.control_tokens}):
            return f"the answer contains {', '.join(control)}, which is a control token: remove it"
        # the tokenizer composes accents with their letters (NFC), which is the same text
        decoded, written = normalize("NFC", self.decode(ids)), normalize("NFC", answer)
        if decoded != written:
            lost = " ".join(map(repr, sorted(set(written) - set(decoded)))) or "this text"
            return f"the tokenizer cannot express {lost}: replace it"
        return None

    def size(self, sample: Sample, seconds: Sequence[float]) -> Size:
        rows = [self.config.frontend.rows(round(s * self.sample_rate)) for s in seconds]
        counts = [(len(self.tokenize(p.text)), p.answer) for p in self.pieces(sample) if p.audio is None]
        return Size(
            frames=sum(count for count, _ in counts) + sum(self.config.audio_frames(r) for r in rows),
            rows=sum(rows),
            labels=sum(count for count, answer in counts if answer),
            seconds=sum(seconds),
        )

    def example(
        self, sample: Sample, audio: Sequence[Tensor | AudioInput], random: np.random.Generator | None = None
    ) -> Example:
        tokens: list[int] = []
        labels: list[int] = []
        inputs: list[AudioInput] = []
        recordings = iter(audio)
        for piece in self.pieces(sample):
            if piece.audio is None:
                ids = self.tokenize(piece.text)
            else:
                inputs.append(self._audio_input(next(recordings), len(tokens), piece.transcript, random))
                ids = (PLACEHOLDER,) * inputs[-1].frames
            tokens += ids
            labels += ids if piece.answer else [IGNORED] * len(ids)
        return Example(sample.key, torch.tensor([tokens]), torch.tensor([labels]), inputs)

    def pieces(self, sample: Sample) -> list[Piece]:
        """The sample as stretches of text and recordings, neighbours of a kind joined, as they are tokenised."""
        merged: list[Piece] = []
        for (audio, answer), run in groupby(self._stretches(sample), lambda p: (p.audio is not None, p.answer)):
            stretches = list(run)
            merged += stretches if audio else [Piece("".join(piece.text for piece in stretches), answer=answer)]
        return merged

    def _stretches(self, sample: Sample) -> Iterator[Piece]:
        system = next((turn.text for turn in sample.turns if turn.role == "system"), SYSTEM)
        if self.options.system_prompt:
            yield Piece(f"<|im_start|>system\n{system}{END}\n")
        turns = [turn for turn in sample.turns if turn.role != "system"]
        for number, turn in enumerate(turns):
            if turn.role == "assistant":
                for part in turn.parts:
                    if not isinstance(part, AudioPart):
                        yield Piece(part.text, answer=part.trained)
                trained = any(part.trained for part in turn.parts if not isinstance(part, AudioPart))
                if trained or number + 1 < len(turns):  # else the answer is open: generation continues it
                    yield Piece(END, answer=trained)
            else:
                answer = turns[number + 1].text if number + 1 < len(turns) else ""
                yield from self._user_stretches(sample, turn, answer, first=number == 0)

    def _user_stretches(self, sample: Sample, turn: Turn, answer: str, *, first: bool) -> Iterator[Piece]:
        request = transcription_request(sample) if sample.task == "asr" and turn.audio and not turn.text else ""
        context = ""
        if first and self.options.context_header:
            context = context_header(sample, request + _text_before_audio(turn))
        elif first:
            context = hotword_context(sample)
        yield Piece(f"<|im_start|>user\n{context}{request}")
        for part in turn.parts:
            if isinstance(part, AudioPart):
                yield Piece(audio=part, transcript=answer)
            else:
                yield Piece(part.text)
        yield Piece(f"{END}\n<|im_start|>assistant\n" + (NO_THOUGHT if self.options.think_block else ""))

    def _audio_input(
        self, audio: Tensor | AudioInput, start: int, transcript: str, random: np.random.Generator | None
    ) -> AudioInput:
        if isinstance(audio, AudioInput):
            placed = replace(audio, start=start)
        else:
            rows = self.features(audio, random)
            placed = AudioInput(rows, start, self.config.audio_frames(len(rows)))
        if self.options.ctc_weight and self.ctc_tokenizer is not None:
            placed.labels = torch.tensor(self.ctc_tokenizer.encode(transcript), dtype=torch.long)
        return placed

    def inference(self) -> AsrLayout:
        """The layout of questions: upstream asks them without the context header that its training may have."""
        layout = copy(self)
        layout.options = self.options.model_copy(update={"context_header": False})
        return layout

    def features(self, waveform: Tensor, random: np.random.Generator | None = None) -> Tensor:
        """What the encoder reads, [rows, width]; augmented when `random` is given and the recipe asks for it."""
        if random is not None and self.options.dither:
            noise = torch.from_numpy(random.standard_normal(len(waveform), dtype=np.float32))
            waveform = waveform + noise * (self.options.dither / INT16_SCALE)
        rows = features(waveform, self.config.frontend, self.cmvn)
        if random is not None and self.options.spec_augment:
            rows = spec_augment(rows, self.config.frontend.mel_bins, random)
        return rows

    def decode(self, ids: list[int], *, skip_special_tokens: bool = False) -> str:
        """Text of token ids, as it is."""
        kept = {"skip_special_tokens": skip_special_tokens, "clean_up_tokenization_spaces": False}
        return str(self.tokenizer.decode(ids, **kept))


def _text_before_audio(turn: Turn) -> str:
    text = ""
    for part in turn.parts:
        if isinstance(part, AudioPart):
            break
        text += part.text
    return text
