"""Fun-ASR's ChatML lines: markup, turns, context keys, and what upstream would drop without a word."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.recordings import record, tone
from voxtune.data.formats.fun_asr_chatml import speech_length
from voxtune.data.formats.lines import Problems
from voxtune.data.manifest import collect_samples, read_samples, write_samples
from voxtune.data.sample import AudioPart, Sample, TextPart, transcription
from voxtune.errors import DataError

ASK = {"role": "user", "content": "语音转写：<|startofspeech|>!a.wav<|endofspeech|>"}
SAY = {"role": "assistant", "content": "几点了？"}


def write(folder: Path, *lines: dict[str, Any]) -> Path:
    path = folder / "train.jsonl"
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    return path


def read_one(folder: Path, **line: Any) -> Sample:
    return read_samples(write(folder, line))[0]


def refusal(folder: Path, messages: list[dict[str, Any]], **line: Any) -> str:
    """What is said about the line, without its place."""
    path = write(folder, {"messages": messages, **line})
    with pytest.raises(DataError) as error:
        read_samples(path)
    return str(error.value).removeprefix(f"{path}:1: ")


def test_the_turns_hold_the_whole_prompt(tmp_path: Path) -> None:
    system = {"role": "system", "content": "You listen."}
    text_turn = [{"role": "user", "content": "hello?"}, {"role": "assistant", "content": "yes."}]
    sample = read_one(tmp_path, messages=[system, ASK, SAY, system, *text_turn])
    assert sample.task is None
    assert [turn.role for turn in sample.turns] == ["system", "user", "assistant", "user", "assistant"]
    assert sample.turns[1].parts == [TextPart(text="语音转写："), AudioPart(path=str(tmp_path / "a.wav"))]
    assert [turn.text for turn in sample.turns[2:]] == ["几点了？", "hello?", "yes."]


def test_text_after_and_between_recordings_stays(tmp_path: Path) -> None:
    content = "<|startofspeech|>!/x/a.wav<|endofspeech|> and <|startofspeech|>!https://host/b.mp3<|endofspeech|>?\n"
    sample = read_one(tmp_path, messages=[{"role": "user", "content": content}, SAY])
    assert sample.turns[0].parts == [
        AudioPart(path="/x/a.wav"), TextPart(text=" and "), AudioPart(path="https://host/b.mp3"), TextPart(text="?\n"),
    ]  # fmt: skip


def test_previous_content_is_not_trained(tmp_path: Path) -> None:
    sample = read_one(tmp_path, messages=[ASK, {**SAY, "prev_content": "现在"}])
    assert sample.turns[1].parts == [TextPart(text="现在", trained=False), TextPart(text="几点了？")]


@pytest.mark.parametrize(
    ("context", "hotwords"),
    [
        ({"hotwords": "公园, park"}, ["公园", "park"]),
        ({"hotwords": ["公园", "a, b"]}, ["公园", "a, b"]),
        ({"hotwords": "散步", "asr_hotwords": "公园"}, ["公园"]),
        ({"hotwords": "散步", "asr_hotwords": None}, ["散步"]),
        ({"hotwords": ""}, []),
        ({}, []),
    ],
)
def test_hotwords(tmp_path: Path, context: dict[str, Any], hotwords: list[str]) -> None:
    assert read_one(tmp_path, messages=[ASK, SAY], **context).hotwords == hotwords


def test_other_context(tmp_path: Path) -> None:
    sample = read_one(tmp_path, messages=[ASK, SAY], one_pass_result="几点", hist_context="你好", language="zh")
    assert (sample.first_pass, sample.history, sample.language) == ("几点", "你好", None)


@pytest.mark.parametrize("value", [7, "7", [7], ["7"], None])
def test_lengths_in_every_spelling(tmp_path: Path, value: Any) -> None:
    assert read_one(tmp_path, messages=[ASK, SAY], speech_length=value, text_length=value).answer == "几点了？"


@pytest.mark.parametrize(("key", "read"), [("k", "k"), (["k"], "k"), (5, "5"), (None, "train-1")])
def test_keys_in_every_spelling(tmp_path: Path, key: Any, read: str) -> None:
    assert read_one(tmp_path, messages=[ASK, SAY], key=key).key == read


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("<|startofspeech|>!a.wav", "<|startofspeech|> without its counterpart"),
        ("!a.wav<|endofspeech|>", "<|endofspeech|> without its counterpart"),
        ("<|startofspeech|>!a<|startofspeech|>!b<|endofspeech|>", "two <|startofspeech|> before one <|endofspeech|>"),
        ("<|startofspeech|>a.wav<|endofspeech|>", "a recording's path begins with '!', found 'a.wav'"),
        ("<|startofspeech|><|endofspeech|>", "a recording's path begins with '!', found ''"),
        ("<|startofspeech|>!<|endofspeech|>", "no path between the audio markers"),
        ("<|startofspeech|>!!<|endofspeech|>", "'!!' (samples in the message itself) is for inference only"),
    ],
)
def test_bad_markup_is_refused(tmp_path: Path, content: str, complaint: str) -> None:
    assert refusal(tmp_path, [{"role": "user", "content": content}, SAY]).startswith(f"messages: {complaint}")


@pytest.mark.parametrize(
    ("messages", "complaint"),
    [
        ([], "messages: List should have at least 1 item"),
        ([SAY], "messages: user and assistant take turns, found ['assistant']"),
        ([ASK, ASK, SAY], "messages: user and assistant take turns, found ['user', 'user', 'assistant']"),
        ([ASK, SAY, ASK], "messages: user and assistant take turns"),
        ([SAY, ASK], "messages: user and assistant take turns"),
        (
            [{"role": "system", "content": "a"}, {"role": "system", "content": "b"}, ASK, SAY],
            "messages: one system mes",
        ),
        ([{"role": "tool", "content": "a"}, SAY], "messages.0.role: Input should be 'system', 'user' or 'assistant'"),
        ([{"role": "user"}, SAY], "messages.0.content: is missing; add it"),
        ([{"role": "user", "content": [{"type": "audio"}]}, SAY], "messages.0.content: Input should be a valid string"),
        (
            [ASK, {**SAY, "content": "<|startofspeech|>!a<|endofspeech|>"}],
            "messages: <|startofspeech|> in the assistan",
        ),
    ],
)
def test_bad_turns_are_refused(tmp_path: Path, messages: list[dict[str, Any]], complaint: str) -> None:
    assert refusal(tmp_path, messages).startswith(complaint)


def test_other_keys_are_named_and_slips_of_the_pen_refused(tmp_path: Path) -> None:
    line = {"messages": [ASK, SAY], "speaker": "x", "noised": 1}
    problems = Problems()
    path = write(tmp_path, line, line)
    assert len(collect_samples(path, None, problems)) == 2
    assert (problems.errors, problems.unused) == ([], {(path, "speaker"): 1})
    assert (
        refusal(tmp_path, [ASK, SAY], hotword="x")
        == "hotword: unknown key; did you mean 'hotwords'? rename or remove it"
    )
    assert refusal(tmp_path, [ASK, SAY], text_length="many").startswith("text_length: Input should be a valid integer")


def test_written_requests_and_context(tmp_path: Path) -> None:
    audio = AudioPart(path=str(record(tmp_path / "a.wav", tone(1.0))))
    plain = transcription("k", audio, "十二")
    asked = plain.model_copy(
        update={"language": "en", "text_normalization": False, "hotwords": ["a"], "first_pass": "b", "history": "c"}
    )
    write_samples([plain, asked], tmp_path / "out.jsonl", "fun_asr_chatml", len)
    first, second = map(json.loads, (tmp_path / "out.jsonl").read_text().splitlines())
    assert first == {
        "messages": [{"role": "system", "content": "You are a helpful assistant."}, ASK, {**SAY, "content": "十二"}],
        "speech_length": 98,
        "text_length": 2,
    }
    assert second["messages"][1]["content"].startswith("语音转写成英文，不进行文本规整：<|startofspeech|>")
    assert (second["hotwords"], second["one_pass_result"], second["hist_context"]) == (["a"], "b", "c")


def test_what_is_read_is_written(tmp_path: Path) -> None:
    record(tmp_path / "a.wav")
    system = {"role": "system", "content": "You listen."}
    messages = [
        system,
        ASK,
        {"role": "assistant", "content": "了？", "prev_content": "几点"},
        {**ASK, "content": "?"},
        SAY,
    ]
    path = write(tmp_path, {"messages": messages})
    write_samples(read_samples(path), tmp_path / "out.jsonl", "fun_asr_chatml", len)
    assert json.loads((tmp_path / "out.jsonl").read_text())["messages"] == messages


def test_what_chatml_cannot_hold_is_refused(tmp_path: Path) -> None:
    path = str(record(tmp_path / "a.wav", tone(2.0)))
    with pytest.raises(DataError, match="name the model's tokenizer folder"):
        write_samples([], tmp_path / "out.jsonl", "fun_asr_chatml")
    samples = [
        transcription("u1", AudioPart(path=path, start=1), "one"),
        transcription("u2", AudioPart(path=path), "<|startofspeech|>"),
        transcription("u3", AudioPart(path=str(tmp_path / "none.wav")), "three"),
    ]
    with pytest.raises(DataError) as error:
        write_samples(samples, tmp_path / "out.jsonl", "fun_asr_chatml", len)
    lines = str(error.value).splitlines()
    assert "sample 'u1'" in lines[0]
    assert "start, duration and channel cannot be written as ChatML" in lines[0]
    assert "sample 'u2'" in lines[1]
    assert "none.wav: no such file" in lines[2]


@pytest.mark.parametrize(("seconds", "frames"), [(1.0, 98), (0.025, 1), (0.02, 0), (0.01, -1), (30.0, 2998)])
def test_speech_length_counts_frames_of_ten_milliseconds(seconds: float, frames: int) -> None:
    assert speech_length(seconds) == frames
