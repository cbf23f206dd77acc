"""Inference of Fun-ASR-Nano: greedy decoding of a batch, and times from the CTC branch.

Source of the rules: funasr/models/fun_asr_nano/model.py (`inference_prepare`, `_inference_llm_batch`,
`inference_llm`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from voxtune.data.example import Example, pack
from voxtune.data.formats.fun_asr_requests import LANGUAGES
from voxtune.data.sample import Sample, TextPart, Turn
from voxtune.errors import CheckpointError, VoxtuneError
from voxtune.families.family import Output, Settings, TimedToken
from voxtune.families.fun_asr_nano.frozen import evaluating
from voxtune.families.fun_asr_nano.layout import END, AsrLayout
from voxtune.families.fun_asr_nano.model import FunAsrNano
from voxtune.parts.ctc import align
from voxtune.parts.ctc_tokenizer import CtcTokenizer


def generate(
    model: FunAsrNano, layout: AsrLayout, samples: Sequence[tuple[Sample, Sequence[Tensor]]], settings: Settings
) -> Iterator[Output]:
    """Answers to samples with their waveforms, in order, decoded greedily as one batch.

    An answer that a sample leaves open (`Sample.question`) is continued. With `settings.timestamps` the pieces of the
    answer get their times in the sample's last recording; there are none when it is too short to hold the answer.
    Raises VoxtuneError when a language or the times cannot be had.
    """
    ctc = _ctc_tokenizer(model, layout) if settings.timestamps else None
    layout = layout.inference()
    asked = [(_asked(sample.question(), settings), waveforms) for sample, waveforms in samples]
    examples = [layout.example(sample, waveforms) for sample, waveforms in asked]
    with torch.no_grad(), evaluating([model]):
        prompts, log_probs = _prompts(model, examples, with_ctc=ctc is not None)
        answers = answer_tokens(model, layout, prompts, settings.max_new_tokens)
    frontend = layout.config.frontend
    seconds_per_frame = frontend.stride * frontend.frame_shift_ms / 1000
    for (sample, _), (answer, complete), recording in zip(asked, answers, log_probs, strict=True):
        opening = sample.turns[-1].text if sample.turns[-1].role == "assistant" else ""
        text = clean(opening + layout.decode(answer, skip_special_tokens=True))
        times = [] if ctc is None or recording is None else timed_tokens(recording, text, ctc, seconds_per_frame)
        yield Output(sample.key, text, times, complete)


def prompt_embeddings(model: FunAsrNano, examples: list[Example]) -> tuple[Tensor, ...]:
    """What the language model reads before each answer, [positions, width]: text and audio."""
    return _prompts(model, examples, with_ctc=False)[0]


def _prompts(
    model: FunAsrNano, examples: list[Example], *, with_ctc: bool
) -> tuple[tuple[Tensor, ...], list[Tensor | None]]:
    """`prompt_embeddings`, and of each example's last recording the CTC log-probabilities when they are asked for."""
    batch = pack(examples).to(model.llm.lm_head.weight.device)
    encoder_out, segments = model.encode(batch)
    embeddings = model.insert_audio(batch, encoder_out, segments)
    log_probs: list[Tensor | None] = [None] * len(examples)
    if with_ctc and encoder_out is not None and segments is not None:
        recordings = iter(model.ctc_log_probs(encoder_out, segments))
        for number, example in enumerate(examples):
            for _ in example.audio:
                log_probs[number] = next(recordings)
    return torch.split(embeddings, batch.lengths), log_probs


def answer_tokens(
    model: FunAsrNano, layout: AsrLayout, prompts: Sequence[Tensor], max_new_tokens: int
) -> list[tuple[list[int], bool]]:
    """Greedy continuations of prompts, each [positions, width]: without the token that ends an answer, and whether it
    came."""
    end = layout.tokenizer.convert_tokens_to_ids(END)
    longest = max(len(prompt) for prompt in prompts)
    padded = torch.stack([F.pad(prompt, (0, 0, longest - len(prompt), 0)) for prompt in prompts])
    first = torch.tensor([longest - len(prompt) for prompt in prompts], device=padded.device)
    mask = torch.arange(longest, device=padded.device) >= first[:, None]
    llm: Any = model.llm
    found = llm.generate(
        inputs_embeds=padded,
        attention_mask=mask.long(),
        max_new_tokens=max_new_tokens,
        do_sample=False,
        eos_token_id=end,
        pad_token_id=end,
    )
    return [(tokens[: tokens.index(end)], True) if end in tokens else (tokens, False) for tokens in found.tolist()]


def clean(text: str) -> str:
    """An answer as upstream gives it: no silence marks, runs of white space one blank."""
    return re.sub(r"\s+", " ", text.replace("/sil", " "))


def timed_tokens(log_probs: Tensor, text: str, tokenizer: CtcTokenizer, seconds_per_frame: float) -> list[TimedToken]:
    """Pieces of a text with their times, from CTC log-probabilities [frames, classes] (the last one is the blank).

    Classes that only together make a character become one piece. Empty when the frames are too few for the text.
    """
    try:
        aligned = align(log_probs, tokenizer.encode(text), log_probs.shape[-1] - 1)
    except ValueError:
        return []
    pieces = []
    start = 0
    for end in range(1, len(aligned) + 1):
        group = aligned[start:end]
        piece = tokenizer.decode([item.token for item in group])
        if end == len(aligned) or not piece.endswith("\N{REPLACEMENT CHARACTER}"):
            score = min(item.score for item in group)
            pieces.append(
                TimedToken(piece, group[0].start * seconds_per_frame, group[-1].end * seconds_per_frame, score)
            )
            start = end
    return pieces


def _asked(sample: Sample, settings: Settings) -> Sample:
    """The sample with what the settings ask for. A language, or text as it is spoken, replaces its own request."""
    update: dict[str, object] = {}
    if settings.hotwords:
        update["hotwords"] = settings.hotwords
    if settings.language is not None:
        update["language"] = _known_language(settings.language)
    if not settings.text_normalization:
        update["text_normalization"] = False
    if settings.language is not None or not settings.text_normalization:
        last = max((number for number, turn in enumerate(sample.turns) if turn.audio), default=None)
        if last is not None:
            turns = [*sample.turns]
            turns[last] = Turn(role="user", parts=[p for p in turns[last].parts if not isinstance(p, TextPart)])
            update |= {"turns": turns, "task": "asr"}
    return sample.model_copy(update=update)


def _known_language(language: str) -> str:
    if language.isascii() and language not in LANGUAGES:
        known = ", ".join(f"{code} ({name})" for code, name in LANGUAGES.items())
        raise VoxtuneError(f"language {language!r} is not known; give one of these codes or names: {known}")
    return language


def _ctc_tokenizer(model: FunAsrNano, layout: AsrLayout) -> CtcTokenizer:
    if model.ctc is None or layout.ctc_tokenizer is None:
        missing = "no CTC branch" if model.ctc is None else "no multilingual.tiktoken beside it"
        raise CheckpointError(
            f"times need the CTC branch, this checkpoint has {missing}; use the ModelScope variant of Fun-ASR-Nano"
        )
    return layout.ctc_tokenizer
