"""Fun-ASR's ChatML JSON lines: messages with audio markup, and context keys.

Source of the layout: funasr/datasets/fun_asr_datasets/datasets.py and tools/scp2jsonl.py of FunAudioLLM/Fun-ASR.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from voxtune.data.audio import probe
from voxtune.data.formats.format import Format, TokenCounter
from voxtune.data.formats.fun_asr_requests import SYSTEM, transcription_request
from voxtune.data.formats.lines import Problems, expressed, locator, numbered_lines, shown, write_lines, written_path
from voxtune.data.formats.plain import HotWords, default_key, json_keys
from voxtune.data.sample import AudioPart, Sample, TextPart, Turn
from voxtune.errors import DataError

START, END = "<|startofspeech|>", "<|endofspeech|>"
MARKUP = re.compile(re.escape(START) + "(.*?)" + re.escape(END), re.DOTALL)


def _single(value: Any) -> Any:
    return value[0] if isinstance(value, list) and len(value) == 1 else value


Length = Annotated[int | None, BeforeValidator(_single)]


class Message(BaseModel):
    """One message of a conversation; `prev_content` stands before an answer and is not trained."""

    role: Literal["system", "user", "assistant"]
    content: str
    prev_content: str | None = None


class ChatmlLine(BaseModel):
    """A line of the file. The keys from speech_length on are checked and then not needed: lengths are measured."""

    model_config = ConfigDict(extra="allow")

    messages: list[Message] = Field(min_length=1)
    key: Annotated[str | None, BeforeValidator(_single)] = Field(None, min_length=1, coerce_numbers_to_str=True)
    hotwords: HotWords | None = None
    asr_hotwords: HotWords | None = None
    one_pass_result: str | None = None
    hist_context: str | None = None
    speech_length: Length = None
    text_length: Length = None


KEYS = tuple(ChatmlLine.model_fields)
UNUSED_UPSTREAM = frozenset(("language", "one_pass_wer", "word_list", "vad_segs", "noised"))


class FunAsrChatml(Format):
    """Reader and writer of ChatML JSON lines."""

    name = "fun_asr_chatml"
    summary = "Fun-ASR's ChatML JSON lines (messages with <|startofspeech|>!path<|endofspeech|>)"
    suffixes = ()

    def recognises(self, file: Path, head: str) -> bool:
        return "messages" in json_keys(head)

    def read(self, files: Sequence[Path], problems: Problems) -> list[Sample]:
        samples = []
        for file in files:
            locate = locator(file, from_current_folder=True)
            for number, text in numbered_lines(file):
                try:
                    line = ChatmlLine.model_validate_json(text)
                    problems.extra(file, number, (line.model_extra or {}).keys() - UNUSED_UPSTREAM, KEYS)
                    samples.append(_sample(line, default_key(file, number), locate).at(file, number))
                except ValidationError as error:
                    problems.invalid(file, number, error, KEYS)
                except DataError as error:
                    problems.error(file, number, "messages", str(error))
        return samples

    def write(self, samples: Sequence[Sample], path: Path, count_tokens: TokenCounter | None) -> list[Path]:
        if count_tokens is None:
            raise DataError("text_length is counted in tokens; name the model's tokenizer folder (--tokenizer)")
        write_lines(path, expressed(samples, lambda sample: _as_json(sample, path, count_tokens)))
        return [path]


def _sample(line: ChatmlLine, key: str, locate: Callable[[str], str]) -> Sample:
    roles = [message.role for message in line.messages if message.role != "system"]
    expected = ["user", "assistant"] * (len(roles) // 2) or ["user"]
    if roles != expected:
        raise DataError(f"user and assistant take turns, found {shown(roles)}; upstream would drop or mix up turns")
    systems = {message.content for message in line.messages if message.role == "system"}
    if len(systems) > 1:
        raise DataError("one system message is read, found several different ones; split the line")
    turns = [Turn(role="system", parts=[TextPart(text=system)]) for system in systems]
    turns += [_turn(message, locate) for message in line.messages if message.role != "system"]
    hotwords = line.hotwords if line.asr_hotwords is None else line.asr_hotwords
    return Sample(
        key=line.key or key, turns=turns, hotwords=hotwords or [],
        first_pass=line.one_pass_result or None, history=line.hist_context or None,
    )  # fmt: skip


def _turn(message: Message, locate: Callable[[str], str]) -> Turn:
    if message.role == "user":
        return Turn(role="user", parts=_parts(message.content, locate))
    _reject_markers(message.content, f"in the {message.role}'s message; only the user's may have a recording")
    context = [TextPart(text=message.prev_content, trained=False)] if message.prev_content else []
    return Turn(role=message.role, parts=[*context, TextPart(text=message.content)])


def _parts(content: str, locate: Callable[[str], str]) -> list[TextPart | AudioPart]:
    parts: list[TextPart | AudioPart] = []
    for position, piece in enumerate(MARKUP.split(content)):
        if position % 2:
            parts.append(AudioPart(path=locate(_path(piece))))
            continue
        _reject_markers(piece, "without its counterpart; write <|startofspeech|>!path<|endofspeech|>")
        if piece:
            parts.append(TextPart(text=piece))
    return parts


def _path(inner: str) -> str:
    if START in inner:
        raise DataError(f"two {START} before one {END}, found {shown(inner)}; close the first")
    if not inner.startswith("!"):
        raise DataError(f"a recording's path begins with '!', found {shown(inner)}, which upstream drops; correct it")
    if inner.startswith("!!"):
        raise DataError("'!!' (samples in the message itself) is for inference only; give a path")
    if len(inner) == 1:
        raise DataError("no path between the audio markers; add it")
    return inner[1:]


def _reject_markers(text: str, complaint: str) -> None:
    for marker in (START, END):
        if marker in text:
            raise DataError(f"{marker} {complaint}, found {shown(text)}")


def _as_json(sample: Sample, manifest: Path, count_tokens: TokenCounter) -> str:
    if sample.dialogue is not None:
        raise DataError("a two-speaker dialogue cannot be written as ChatML; write voxtune_jsonl")
    turns = sample.turns if sample.turns[0].role == "system" else [_SYSTEM_TURN, *sample.turns]
    line: dict[str, Any] = {
        "messages": [_message(sample, turn, manifest) for turn in turns],
        "speech_length": sum(speech_length(probe(part).seconds) for part in sample.audio),
        "text_length": sum(count_tokens(turn.text) for turn in turns if turn.role == "assistant"),
    }
    context = {
        "hotwords": sample.hotwords, "one_pass_result": sample.first_pass, "hist_context": sample.history,
    }  # fmt: skip
    return json.dumps(line | {name: value for name, value in context.items() if value}, ensure_ascii=False)


_SYSTEM_TURN = Turn(role="system", parts=[TextPart(text=SYSTEM)])


def _message(sample: Sample, turn: Turn, manifest: Path) -> dict[str, str]:
    texts = [part for part in turn.parts if isinstance(part, TextPart)]
    for part in texts:
        _reject_markers(part.text, "in a text cannot be written as ChatML; remove it")
    if turn.role != "user":
        context = "".join(part.text for part in texts if not part.trained)
        content = "".join(part.text for part in texts if part.trained)
        if turn.audio or context + content != turn.text:
            raise DataError("ChatML holds answers of untrained text followed by trained text; write voxtune_jsonl")
        return {"role": turn.role, "content": content, **({"prev_content": context} if context else {})}
    request = transcription_request(sample) if sample.task == "asr" and turn.audio and not texts else ""
    pieces = [part.text if isinstance(part, TextPart) else _markup(part, manifest) for part in turn.parts]
    return {"role": "user", "content": request + "".join(pieces)}


def _markup(part: AudioPart, manifest: Path) -> str:
    if part.start or part.duration is not None or part.channel is not None:
        raise DataError(f"{part.path}: start, duration and channel cannot be written as ChatML; cut the file first")
    return f"{START}!{written_path(part.path, manifest)}{END}"


def speech_length(seconds: float) -> int:
    """Frames of 25 ms every 10 ms, as upstream counts them: 0 or less for a recording under 25 ms."""
    return int((seconds * 1000 - 25) // 10 + 1)


FORMAT = FunAsrChatml()
