"""Poisoned recordings and data files: each gives one clear message at the command line, and no traceback."""

from __future__ import annotations

import json
import os
import pickle
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.recordings import record, tone
from voxtune.cli.main import main

Capture = pytest.CaptureFixture[str]
Patch = pytest.MonkeyPatch


def run(monkeypatch: Patch, capsys: Capture, *arguments: str) -> tuple[int, list[str]]:
    """The exit code of a command and its error messages, from the findings and from stderr."""
    monkeypatch.setattr(sys, "argv", ["voxtune", *arguments])
    with pytest.raises(SystemExit) as finished:
        main()
    printed = capsys.readouterr()
    text = printed.out + printed.err
    assert "Traceback" not in text
    blocks = text.replace("\r", "").split("error: ")[1:]
    return int(finished.value.code or 0), [block.split("\n┏")[0].strip() for block in blocks]


def cut(path: Path, kept: float) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])


def flip(path: Path) -> None:
    """Damage the middle of a file."""
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 200] = bytes(200)
    path.write_bytes(content)


def wav(rate: int = 16000, channels: int = 1, promised: int | None = None, samples: bytes = bytes(32000)) -> bytes:
    """A WAV file whose header may lie."""
    form = struct.pack("<HHIIHH", 1, channels, rate, rate * 2, 2 * channels, 16)
    data = b"data" + struct.pack("<I", len(samples) if promised is None else promised) + samples
    return b"RIFF" + struct.pack("<I", 36 + len(samples)) + b"WAVEfmt " + struct.pack("<I", 16) + form + data


def png() -> bytes:
    return b"\x89PNG\r\n\x1a\n" + zlib.compress(bytes(1000))


def with_sample(value: float) -> Any:
    signal = tone()
    signal[100] = value
    return signal


def floats(path: Path, signal: Any) -> None:
    record(path, signal, subtype="FLOAT")


NO_AUDIO = "no audio that can be read (wav, flac, mp3, ogg and opus can); convert it"
CUT_OFF = "cut off, "

RECORDINGS: dict[str, tuple[str, Callable[[Path], Any], str]] = {
    "missing": ("a.wav", lambda path: None, "no such file"),
    "empty": ("a.wav", lambda path: path.touch(), "an empty file (0 bytes)"),
    "folder": ("a.wav", lambda path: path.mkdir(), "a folder, a pipe or a device"),
    "pipe": ("a.wav", lambda path: os.mkfifo(path), "a folder, a pipe or a device"),
    "device": ("a.wav", lambda path: path.symlink_to("/dev/zero"), "a folder, a pipe or a device"),
    "dangling link": ("a.wav", lambda path: path.symlink_to("nowhere"), "no such file"),
    "link to itself": ("a.wav", lambda path: path.symlink_to(path), "no such file"),
    "long name": ("a" * 300 + ".wav", lambda path: None, "no such file"),
    "text": ("a.wav", lambda path: path.write_text("no sound\n" * 100), NO_AUDIO),
    "zeros": ("a.wav", lambda path: path.write_bytes(bytes(10_000)), NO_AUDIO),
    "noise bytes": ("a.flac", lambda path: path.write_bytes(np.random.default_rng(0).bytes(9999)), NO_AUDIO),
    "web page": ("a.mp3", lambda path: path.write_text("<!DOCTYPE html><html>404</html>" * 9), NO_AUDIO),
    "picture": ("a.wav", lambda path: path.write_bytes(png()), NO_AUDIO),
    "movie": ("a.m4a", lambda path: path.write_bytes(struct.pack(">I", 24) + b"ftypM4A " + bytes(5000)), NO_AUDIO),
    "pickle": ("a.wav", lambda path: path.write_bytes(pickle.dumps([1, 2])), NO_AUDIO),
    "array": ("a.npy", lambda path: np.save(path, tone()), NO_AUDIO),
    "only the word RIFF": ("a.wav", lambda path: path.write_bytes(b"RIFF"), NO_AUDIO),
    "only a header": ("a.wav", lambda path: path.write_bytes(wav(promised=32000, samples=b"")), CUT_OFF),
    "no samples": ("a.wav", lambda path: path.write_bytes(wav(samples=b"")), "has no samples (0 s)"),
    "no channels": ("a.wav", lambda path: path.write_bytes(wav(channels=0)), NO_AUDIO),
    "no rate": ("a.wav", lambda path: path.write_bytes(wav(rate=0)), NO_AUDIO),
    "promises too much": (
        "a.wav",
        lambda path: path.write_bytes(wav(promised=64000)),
        "promises 64000 bytes of samples",
    ),
    "half a wav": ("a.wav", lambda path: cut(record(path), 0.5), CUT_OFF),
    "half a flac": ("a.flac", lambda path: cut(record(path), 0.5), "cut off"),
    "half an mp3": ("a.mp3", lambda path: cut(record(path, tone(3.0)), 0.5), "cut off, the header promises 3.00 s"),
    "half an ogg": ("a.ogg", lambda path: cut(record(path, tone(3.0)), 0.8), "its last page is incomplete"),
    "half an opus": ("a.opus", lambda path: cut(record(path, tone(3.0)), 0.8), "its last page is incomplete"),
    "damaged flac": ("a.flac", lambda path: flip(record(path, tone(noise=0.5))), "cut off"),
    "not a number": ("a.wav", lambda path: floats(path, with_sample(np.nan)), "1 samples are NaN or infinite"),
    "infinite": ("a.wav", lambda path: floats(path, with_sample(-np.inf)), "1 samples are NaN or infinite"),
    "unscaled": ("a.wav", lambda path: floats(path, tone() * 32768), "scale them to -1 ... 1"),
    "silent": ("a.wav", lambda path: record(path, tone(level=0)), "silence, the loudest sample is at -inf dB"),
}


@pytest.mark.parametrize("name", RECORDINGS)
def test_a_poisoned_recording_is_found(name: str, tmp_path: Path, monkeypatch: Patch, capfd: Capture) -> None:
    monkeypatch.chdir(tmp_path)
    file, poison, message = RECORDINGS[name]
    poison(tmp_path / file)
    record(tmp_path / "good.wav", tone(seed=9))
    lines = [{"audio": "good.wav", "text": "well"}, {"audio": file, "text": "poison"}]
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    code, errors = run(monkeypatch, capfd, "check", "data.jsonl")
    assert code == 1
    assert len(errors) == 1
    assert errors[0].startswith(f"data.jsonl:2: audio: {tmp_path / file}: ")
    assert message in errors[0]


PARTS = {
    "start after the end": ({"start": 99}, "start 99 s, but the file ends at 0.50 s"),
    "end after the end": ({"start": 0.2, "duration": 9}, "start 0.2 s and duration 9 s reach past the end"),
    "endless": ({"duration": 1e300}, "reach past the end of the file at 0.50 s"),
    "channel": ({"channel": 7}, "channel 7 of a file with 1"),
    "another planet": ({"audio": "http://127.0.0.1:9/a.wav"}, "http://127.0.0.1:9/a.wav: cannot be fetched"),
}


@pytest.mark.parametrize("name", PARTS)
def test_a_part_that_is_not_there_is_found(name: str, tmp_path: Path, monkeypatch: Patch, capfd: Capture) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VOXTUNE_CACHE", str(tmp_path / "cache"))
    fields, message = PARTS[name]
    record(tmp_path / "a.wav")
    (tmp_path / "data.jsonl").write_text(json.dumps({"audio": "a.wav", "text": "one", **fields}))
    code, errors = run(monkeypatch, capfd, "check", "data.jsonl")
    assert code == 1
    assert len(errors) == 1
    assert errors[0].startswith("data.jsonl:1: audio: ")
    assert message in errors[0]


USER = '{"role": "user", "parts": [{"kind": "audio", "path": "a.wav"}]}'
OWN = f'{{"key": "k", "turns": [{USER}]}}\n'
ASK = '{"role": "user", "content": "<|startofspeech|>!a.wav<|endofspeech|>"}'
SAY = '{"role": "assistant", "content": "one"}'


def own(part: str) -> str:
    """A good line, then one with this recording."""
    return OWN + f'{{"key": "l", "turns": [{{"role": "user", "parts": [{{"kind": "audio", {part}}}]}}]}}'


def chat(content: str) -> str:
    return f'{{"messages": [{{"role": "user", "content": "{content}"}}, {SAY}]}}'


MANIFESTS: dict[str, tuple[dict[str, str | bytes], str]] = {
    "empty": ({"a.jsonl": b""}, "a.jsonl: an empty file; it must have one sample a line"),
    "blank": ({"a.jsonl": "\n \n\t\n"}, "a.jsonl: an empty file"),
    "binary": ({"a.jsonl": bytes(range(256))}, "a.jsonl: in no known layout, the first line is '\\x00\\x01"),
    "sound": ({"a.jsonl": wav()}, "a.jsonl:1: not UTF-8 text (byte 0x80)"),
    "compressed": ({"a.jsonl": zlib.compress(OWN.encode())}, "a.jsonl:1: not UTF-8 text (byte 0x9c)"),
    "UTF-16": ({"a.jsonl": OWN.encode("utf-16")}, "a.jsonl: UTF-16 text; save it as UTF-8"),
    "latin-1": ({"a.jsonl": OWN.encode() * 2 + b'{"key": "caf\xe9"}'}, "a.jsonl:3: not UTF-8 text (byte 0xe9)"),
    "prose": ({"a.jsonl": "Once upon a time"}, "a.jsonl: in no known layout, the first line is 'Once upon a time'"),
    "JSON array": ({"a.jsonl": '[{"audio": "a.wav"}]'}, "a.jsonl:1: a JSON array; write one object a line"),
    "indented JSON": ({"a.jsonl": '{\n "audio": "a.wav"\n}'}, "a.jsonl: in no known layout, the first line is '{'"),
    "a number": ({"a.jsonl": OWN + "5"}, "a.jsonl:2: line: Input should be an object, found 5"),
    "half a line": ({"a.jsonl": OWN + OWN[:40]}, "a.jsonl:2: line: not JSON (EOF while parsing"),
    "single quotes": (
        {"a.jsonl": OWN + "{'key': 'k'}"},
        "a.jsonl:2: line: not JSON (key must be a string at column 2)",
    ),
    "half a character": ({"a.jsonl": OWN + '{"key": "\\ud800"}'}, "a.jsonl:2: line: not JSON (unexpected end of hex"),
    "deep": ({"a.jsonl": OWN + '{"key": ' + "[" * 100_000}, "a.jsonl:2: line: not JSON (recursion limit exceeded"),
    "unknown key": (
        {"a.jsonl": OWN + OWN.replace("turns", "turn")},
        "a.jsonl:2: turn: unknown key; did you mean 'turns'?",
    ),
    "no turns": ({"a.jsonl": OWN + '{"key": "l"}'}, "a.jsonl:2: line: Value error, a sample has either 'turns' or a"),
    "no key": ({"a.jsonl": OWN + f'{{"turns": [{USER}]}}'}, "a.jsonl:2: key: is missing; add it"),
    "empty key": ({"a.jsonl": OWN.replace('"k"', '""')}, "a.jsonl:1: key: String should have at least 1 character"),
    "role": ({"a.jsonl": OWN.replace("user", "robot")}, "a.jsonl:1: turns.0.role: Input should be 'system', 'user'"),
    "kind": ({"a.jsonl": OWN.replace('"audio"', '"video"')}, "a.jsonl:1: turns.0.parts.0: Input tag 'video' found"),
    "start before 0": (
        {"a.jsonl": own('"path": "a", "start": -1')},
        "a.jsonl:2: turns.0.parts.0.audio.start: Input sh",
    ),
    "start NaN": (
        {"a.jsonl": own('"path": "a", "start": NaN')},
        "a.jsonl:2: turns.0.parts.0.audio.start: Input should",
    ),
    "endless": (
        {"a.jsonl": own('"path": "a", "duration": Infinity')},
        "parts.0.audio.duration: Input should be a finite",
    ),
    "no length": ({"a.jsonl": own('"path": "a", "duration": 0')}, "duration: Input should be greater than 0, found 0"),
    "half a channel": ({"a.jsonl": own('"path": "a", "channel": 0.5')}, "channel: Input should be a valid integer"),
    "path with NUL": (
        {"a.jsonl": own('"path": "a\\u0000b"')},
        "a.jsonl:2: turns.0.parts.0.audio.path: String should mat",
    ),
    "empty path": (
        {"a.jsonl": own('"path": ""')},
        "a.jsonl:2: turns.0.parts.0.audio.path: String should have at least",
    ),
    "text alone": ({"text.txt": "u1 one\n"}, "text.txt: a list of texts alone; give the list of recordings"),
    "key alone": ({"w.scp": "u1 a.wav\nu2\n"}, "w.scp:2: path: nothing after the key, found 'u2'; write `key path`"),
    "NUL in scp": ({"w.scp": "u1 a\0.wav\n"}, "w.scp:1: path: String should match pattern"),
    "key twice": (
        {"w.scp": "u1 a.wav\nu1 b.wav\n"},
        "w.scp:2: key: each key once, found 'u1' again (first on w.scp:1)",
    ),
    "command": ({"w.scp": "u1 rm -rf x |\n"}, "w.scp:1: path: commands are not run, found 'rm -rf x |'; give a file"),
    "no recording": ({"w.scp": "u1 a\n", "w.txt": "u1 1\nu2 2\n"}, "w.txt:2: key: no recording in w.scp, found 'u2'"),
    "no transcript": ({"w.scp": "u1 a\nu2 b\n", "w.txt": "u1 1\n"}, "w.scp:2: key: no transcript in w.txt, found 'u2'"),
    "open markup": ({"a.jsonl": chat("<|startofspeech|>!a.wav")}, "a.jsonl:1: messages: <|startofspeech|> without its"),
    "markup without !": (
        {"a.jsonl": chat("<|startofspeech|>a<|endofspeech|>")},
        "path begins with '!', found 'a', which",
    ),
    "two questions": (
        {"a.jsonl": f'{{"messages": [{ASK}, {ASK}, {SAY}]}}'},
        "a.jsonl:1: messages: user and assistant take",
    ),
    "no messages": ({"a.jsonl": '{"messages": []}'}, "a.jsonl:1: messages: List should have at least 1 item"),
    "length in words": (
        {"a.jsonl": f'{{"messages": [{ASK}, {SAY}], "speech_length": "long"}}'},
        "a.jsonl:1: speech_length: Input should be a valid integer",
    ),
    "no text column": (
        {"a.csv": "file,text\na.wav,one\n"},
        "a.csv:1: header: columns named audio and text (once each)",
    ),
    "two audio columns": (
        {"a.csv": "audio,audio,text\na,b,c\n"},
        "a.csv:1: header: columns named audio and text (once",
    ),
    "cells too many": (
        {"a.csv": "audio,text\na.wav,one, two\n"},
        "a.csv:2: line: 3 cells under 2 columns, found ['a.wav",
    ),
    "cells too few": ({"a.tsv": "audio\ttext\na.wav\n"}, "a.tsv:2: line: 1 cells under 2 columns, found ['a.wav']"),
    "open quote": ({"a.csv": 'audio,text\na.wav,"one\nb.wav,two\n'}, "a.csv:2: line: not CSV (unexpected end of data)"),
    "start in words": ({"a.csv": "audio,text,start\na,b,soon\n"}, "a.csv:2: start: Input should be a valid number"),
    "no audio": ({"a.csv": "audio,text\n,one\n"}, "a.csv:2: audio: is missing; add it"),
    "end column": ({"a.csv": "audio,text,end\na,b,3\n"}, "a.csv:1: end: is not read here; remove it"),
    "markup in a message": (
        {"[red]x.jsonl": "[bold]no layout"},
        "[red]x.jsonl: in no known layout, the first line is '[b",
    ),
}


@pytest.mark.parametrize("verb", ["check", "prepare"])
@pytest.mark.parametrize("name", MANIFESTS)
def test_a_poisoned_data_file_is_refused(
    name: str, verb: str, tmp_path: Path, monkeypatch: Patch, capfd: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    for file in ("a.wav", "a", "b"):
        record(tmp_path / file, tone(seed=len(file)), format="WAV")
    files, message = MANIFESTS[name]
    for file, content in files.items():
        (tmp_path / file).write_bytes(content.encode() if isinstance(content, str) else content)
    code, errors = run(monkeypatch, capfd, verb, *files, *(["-o", "out.jsonl"] if verb == "prepare" else []))
    assert code == 1
    matching = [error for error in errors if message in error]
    assert len(matching) == 1
    assert verb == "check" or len(errors) == 1
    assert next(iter(files))[:4] in matching[0]
    assert not (tmp_path / "out.jsonl").exists()


def test_there_are_enough_poisons() -> None:
    assert len(RECORDINGS) + len(PARTS) + len(MANIFESTS) >= 80
