"""Poisoned dialogues: each gives one clear message at the command line, and no traceback."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.helpers.dialogues import WORDS, codes, folder_of_dialogues, good_tokens, record_stereo, token_folders
from tests.helpers.recordings import record, tone
from tests.test_hostile_inputs import Capture, Patch, cut, flip, run


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: Patch) -> None:
    monkeypatch.setenv("VOXTUNE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def entry(**changed: Any) -> str:
    """A good word, then one with something changed."""
    return json.dumps([WORDS[0], {**WORDS[1], **changed}])


def without(name: str) -> str:
    return json.dumps([WORDS[0], {key: value for key, value in WORDS[1].items() if key != name}])


LISTS: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "file: not JSON (EOF while parsing a value at line 1 column 0); make it again"),
    "binary": (bytes(range(256)), "file: d.json:2: not UTF-8 text (byte 0x80)"),
    "latin-1": (b'[\n{"word": "caf\xe9"}]', "file: d.json:2: not UTF-8 text (byte 0xe9)"),
    "UTF-16": (json.dumps(WORDS).encode("utf-16"), "file: UTF-16 text; save it as UTF-8"),
    "broken": (json.dumps(WORDS, indent=1)[:-40], "file: not JSON (EOF while parsing a string at line "),
    "deep": ("[" * 100_000, "file: not JSON (recursion limit exceeded"),
    "object": (json.dumps({"words": WORDS}), "file: Input should be a valid array, found {'words': "),
    "kyutai's": (json.dumps({"alignments": []}), "file: Input should be a valid array, found {'alignments': []}"),
    "a number": ("5", "file: Input should be a valid array, found 5; correct it"),
    "list of lists": (json.dumps([["hi", 1, "A"]]), "entry 1: Input should be an object, found ['hi', 1, 'A']"),
    "null": (json.dumps([WORDS[0], None]), "entry 2: Input should be an object, found None"),
    "speaker C": (entry(speaker="C"), "entry 2.speaker: Input should be 'A' or 'B', found 'C'; correct it"),
    "speaker a": (entry(speaker="a"), "entry 2.speaker: Input should be 'A' or 'B', found 'a'; correct it"),
    "speaker 1": (entry(speaker=1), "entry 2.speaker: Input should be 'A' or 'B', found 1; correct it"),
    "no speaker": (without("speaker"), "entry 2.speaker: is missing; add it"),
    "no word": (without("word"), "entry 2.word: is missing; add it"),
    "no end": (without("end"), "entry 2.end: is missing; add it"),
    "word of a number": (entry(word=5), "entry 2.word: Input should be a valid string, found 5; correct it"),
    "NaN": (entry(start=float("nan")), "entry 2.start: Input should be a finite number, found nan; correct it"),
    "endless": (entry(end=float("inf")), "entry 2.end: Input should be a finite number, found inf; correct it"),
    "1e999": (entry(end=7).replace("7", "1e999"), "entry 2.end: Input should be a finite number, found inf"),
    "time in words": (entry(start="soon"), "entry 2.start: Input should be a valid number, found 'soon'; correct it"),
    "time in quotes": (entry(start="0.5"), "entry 2.start: Input should be a valid number, found '0.5'; correct it"),
    "no time": (entry(start=None), "entry 2.start: Input should be a valid number, found None; correct it"),
    "misspelt": (entry(speker="A"), "speker: unknown key; did you mean 'speaker'? rename or remove it"),
}  # fmt: skip


@pytest.mark.parametrize("verb", ["check", "prepare"])
@pytest.mark.parametrize("name", LISTS)
def test_a_poisoned_list_of_words_is_refused(name: str, verb: str, capfd: Capture, monkeypatch: Patch) -> None:
    content, message = LISTS[name]
    folder_of_dialogues(Path("calls"), ["c", "d"])
    Path("calls/d.json").write_bytes(content.encode() if isinstance(content, str) else content)
    code, errors = run(monkeypatch, capfd, verb, "calls", *(["-o", "out.jsonl"] if verb == "prepare" else []))
    assert code == 1
    assert len(errors) == 1
    assert errors[0].replace("calls/d.json:2", "d.json:2").startswith(f"calls/d.json:1: {message}")
    assert not Path("out.jsonl").exists()


CHECKED: dict[str, tuple[list[dict[str, Any]], str]] = {
    "before the start": ([{**WORDS[0], "start": -1e300}], "1 of 1 words of A (the first: 'hello' at -1000"),
    "after the end": ([{**WORDS[0], "start": 1e300, "end": 1e301}], "1 of 1 words of A (the first: 'hello' at 1000"),
    "backwards": ([{**WORDS[0], "end": 0.1}], "1 of 1 words of A (the first: 'hello' at 0.20 s) end before they begin"),
}


@pytest.mark.parametrize("name", CHECKED)
def test_impossible_times_are_found(name: str, capfd: Capture, monkeypatch: Patch) -> None:
    words, message = CHECKED[name]
    folder_of_dialogues(Path("calls"), ["d"], words)
    code, errors = run(monkeypatch, capfd, "check", "calls")
    assert code == 1
    assert len(errors) == 1
    assert errors[0].startswith(f"calls/d.json:1: words: {message}")


def test_poisoned_recordings_are_found(tmp_path: Path, capfd: Capture, monkeypatch: Patch) -> None:
    folder_of_dialogues(Path("calls"), ["a", "b", "c", "d"])
    record(Path("calls/a.wav"), tone(2.0, 8000), 8000)
    Path("calls/b.wav").write_bytes(b"")
    cut(Path("calls/c.wav"), 0.5)
    code, errors = run(monkeypatch, capfd, "check", "calls")
    assert code == 1
    assert [error.partition("; ")[0] for error in errors] == [
        f"calls/a.json:1: audio: {tmp_path}/calls/a.wav: one channel",
        f"calls/b.json:1: audio: {tmp_path}/calls/b.wav: an empty file (0 bytes)",
        f"calls/c.json:1: audio: {tmp_path}/calls/c.wav: cut off, its header promises 64000 bytes of samples and 31978 "
        "are there",
    ]


TRANSCRIPTS: dict[str, tuple[str, str]] = {
    "list": (json.dumps(WORDS), "file: Input should be an object, found [{'speaker': "),
    "no alignments": ("{}", "alignments: is missing; add it"),
    "short entry": ('{"alignments": [["hi", [0, 1]]]}', "alignments, entry 1.label: is missing; add it"),
    "one time": ('{"alignments": [["hi", [0], "SPEAKER_MAIN"]]}', "alignments, entry 1.times.1: is missing; add it"),
    "no times": (
        '{"alignments": [["hi", 3, "X"]]}',
        "alignments, entry 1.times: Input should be a valid array, found 3",
    ),
    "NaN": ('{"alignments": [["hi", [NaN, 1], "X"]]}', "alignments, entry 1.times.0: Input should be a finite number"),
    "label": (
        '{"alignments": [["hi", [0, 1], 5]]}',
        "alignments, entry 1.label: Input should be a valid string, found 5",
    ),
    "words": ('{"alignments": {"hi": 1}}', "alignments: Input should be a valid array, found {'hi': 1}"),
}


@pytest.mark.parametrize("name", TRANSCRIPTS)
def test_a_poisoned_transcript_is_refused(name: str, capfd: Capture, monkeypatch: Patch) -> None:
    content, message = TRANSCRIPTS[name]
    record_stereo(Path("a.wav"))
    Path("a.json").write_text(content)
    Path("i.jsonl").write_text('{"path": "a.wav", "duration": 2.0}\n')
    code, errors = run(monkeypatch, capfd, "check", "i.jsonl")
    assert code == 1
    assert len(errors) == 1
    assert errors[0].startswith(f"{Path.cwd()}/a.json:1: {message}")


INDEX = {
    "no length": ('{"path": "a.wav", "duration": 0}', "i.jsonl:1: duration: Input should be greater than 0, found 0"),
    "NaN": ('{"path": "a.wav", "duration": NaN}', "i.jsonl:1: duration: Input should be a finite number"),
    "words": (
        '{"path": "a.wav", "duration": "long"}',
        "i.jsonl:1: duration: Input should be a valid number, found 'long'",
    ),
    "empty path": ('{"path": "", "duration": 2}', "i.jsonl:1: path: String should have at least 1 character"),
    "NUL": ('{"path": "a\\u0000.wav", "duration": 2}', "i.jsonl:1: path: String should match pattern"),
    "list": ('{"path": ["a.wav"], "duration": 2}', "i.jsonl:1: path: Input should be a valid string"),
    "long path": (json.dumps({"path": "a" * 999, "duration": 2}), "i.jsonl:1: path: no words, "),
    "folder": ('{"path": ".", "duration": 2}', "i.jsonl:1: path: "),
}


@pytest.mark.parametrize("name", INDEX)
def test_a_poisoned_index_is_refused(name: str, capfd: Capture, monkeypatch: Patch) -> None:
    content, message = INDEX[name]
    Path("i.jsonl").write_text(content)
    code, errors = run(monkeypatch, capfd, "check", "i.jsonl")
    assert code == 1
    assert len(errors) == 1
    assert errors[0].startswith(message)


def array_file(header: str, data: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    """The bytes of an array with any header."""
    text = header.encode() + b"\n"
    return b"\x93NUMPY" + version + len(text).to_bytes(2, "little") + text + data


def npz(a: bytes | np.ndarray, b: bytes | np.ndarray | None = None) -> bytes:
    """An npz file of two arrays, or of the bytes in their place."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        for name, content in (("A", a), ("B", codes() if b is None else b)):
            if isinstance(content, np.ndarray):
                array = io.BytesIO()
                np.save(array, content)
                content = array.getvalue()
            file.writestr(f"{name}.npy", content)
    return out.getvalue()


HEADER = "{'descr': '<i8', 'fortran_order': False, 'shape': (8, 12), }"
NEGATIVE, HUGE = codes(), codes().astype(np.uint64)
NEGATIVE[2, 3], HUGE[2, 3] = -7, 2**64 - 5

NPZ: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "A: damaged, or no npz file (File is not a zip file); make it again"),
    "text": (b"codes: 1 2 3" * 99, "A: damaged, or no npz file (File is not a zip file)"),
    "pickle": (pickle.dumps({"A": codes(), "B": codes()}), "A: damaged, or no npz file (File is not a zip file)"),
    "no arrays": (b"PK\x05\x06" + bytes(18), "A: no such array, the file holds nothing; it must hold A and B"),
    "pickled": (npz(np.array([{"a": 1}], object)), "A: pickled objects, which are never read; save it as integers"),
    "pickled bytes": (npz(pickle.dumps(codes())), "A: damaged, or no npz file ("),
    "no array": (npz(b"hello"), "A: damaged, or no npz file ("),
    "code in the header": (npz(array_file("__import__('os').abort()")), "A: damaged, or no npz file ("),
    "half a header": (npz(array_file(HEADER)[:30]), "A: damaged, or no npz file ("),
    "broken header": (npz(array_file(HEADER[:20])), "A: damaged, or no npz file ("),
    "open quote": (npz(array_file("{'''descr")), "A: damaged, or no npz file ("),
    "promises too much": (npz(array_file(HEADER, bytes(80))), "A: damaged, or no npz file (80 bytes for an array of"),
    "promises a planet": (
        npz(array_file(HEADER.replace("12", "1000000000000"))),
        "A: damaged, or no npz file (0 bytes for an array of shape [8, 1000000000000])",
    ),
    "negative shape": (npz(array_file(HEADER.replace("12", "-12"), bytes(80))), "A: damaged, or no npz file ("),
    "version 9": (npz(array_file(HEADER, bytes(768), b"\x09\x00")), "A: damaged, or no npz file ("),
    "half precision": (npz(codes().astype(np.float16)), "A: numbers of type float16; save it as integers (int64)"),
    "truth": (npz(codes() > 9), "A: numbers of type bool; save it as integers (int64)"),
    "records": (npz(np.zeros((8, 12), [("a", "i4")])), "A: numbers of type [('a', '<i4')]; save it as integers"),
    "negative": (npz(NEGATIVE), "A: codebook 3, frame 3: tokens count from 0, found -7; make it again"),
    "huge": (npz(HUGE), "A: codebook 3, frame 3: tokens count from 0, found -5; make it again"),
}  # fmt: skip


@pytest.mark.parametrize("name", NPZ)
def test_a_poisoned_npz_file_is_refused(name: str, capfd: Capture, monkeypatch: Patch) -> None:
    content, message = NPZ[name]
    token_folders(Path(), {"c": good_tokens(), "d": good_tokens(1)})
    Path("tokenized_audio/d.npz").write_bytes(content)
    code, errors = run(monkeypatch, capfd, "check", "tokenized_audio", "tokenized_text")
    assert code == 1
    assert len(errors) == 1
    assert errors[0].startswith("tokenized_audio/d.npz:1: ")
    assert f"tokenized_audio/d.npz: {message}" in errors[0]


@pytest.mark.parametrize("how", [flip, lambda file: cut(file, 0.5)], ids=["flipped", "half"])
@pytest.mark.parametrize("folder", ["tokenized_audio", "tokenized_text"])
def test_a_damaged_npz_file_is_refused(
    how: Callable[[Path], Any], folder: str, capfd: Capture, monkeypatch: Patch
) -> None:
    token_folders(Path(), {"c": good_tokens(), "d": good_tokens(1, 400)})
    how(Path(folder, "d.npz"))
    code, errors = run(monkeypatch, capfd, "check", "tokenized_audio", "tokenized_text")
    assert code == 1
    assert len(errors) == 1
    assert f"{folder}/d.npz: " in errors[0]
    assert "damaged, or no npz file (" in errors[0]


def table(**columns: Any) -> bytes:
    """A parquet file of one row, with columns changed or (None) left out."""
    good = {"dialogue_id": ["d"], "A": [[[1, 2], [3, 4]]], "B": [[[5, 6], [7, 8]]]}
    kept = {name: column for name, column in {**good, **columns}.items() if column is not None}
    out = io.BytesIO()
    pq.write_table(pa.table(kept), out)
    return out.getvalue()


GOOD = table(A=[[list(range(3000))] * 9], B=[[list(range(3000))] * 9])
NEEDED = "the columns dialogue_id (text), A and B (lists of lists of integers) are needed"

PARQUET: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "t.parquet: damaged, or no parquet file ("),
    "text": (b"PAR1 but not really" * 99, "t.parquet: damaged, or no parquet file ("),
    "half": (GOOD[: len(GOOD) // 2], "t.parquet: damaged, or no parquet file ("),
    "no end": (GOOD[:-1], "t.parquet: damaged, or no parquet file ("),
    "damaged footer": (GOOD[:-60] + bytes(40) + GOOD[-20:], "t.parquet: damaged, or no parquet file ("),
    "no id": (table(dialogue_id=None), f"t.parquet: dialogue_id: no such column; {NEEDED}"),
    "no A": (table(A=None), f"t.parquet: A: no such column; {NEEDED}"),
    "id of a number": (table(dialogue_id=[5]), f"t.parquet: dialogue_id: a column of type int64; {NEEDED}"),
    "fractions": (table(A=[[[1.5]]]), f"t.parquet: A: a column of type list<element: list<element: double>>; {NEEDED}"),
    "words": (table(B=[[["a"]]]), f"t.parquet: B: a column of type list<element: list<element: string>>; {NEEDED}"),
    "one list": (table(A=[[1, 2]]), f"t.parquet: A: a column of type list<element: int64>; {NEEDED}"),
    "bytes": (table(A=[b"\x80\x04"]), f"t.parquet: A: a column of type binary; {NEEDED}"),
    "huge": (table(A=[[[1, 2**40], [3, 4]]]), "t.parquet: one of the rows 1 to 1: Integer value 1099511627776 not in"),
    "negative": (table(A=[[[1, 2], [3, -4]]]), "t.parquet:1: A: codebook 1, frame 1: tokens count from 0, found -4"),
    "null": (table(A=[[[1, None], [3, 4]]]), "t.parquet:1: A: a token is missing (null); make the file again"),
}  # fmt: skip


@pytest.mark.parametrize("name", PARQUET)
def test_a_poisoned_parquet_file_is_refused(name: str, capfd: Capture, monkeypatch: Patch) -> None:
    content, message = PARQUET[name]
    Path("t.parquet").write_bytes(content)
    code, errors = run(monkeypatch, capfd, "check", "t.parquet")
    assert code == 1
    assert len(errors) == 1
    assert message in errors[0]
    assert list(Path("cache/encoded").glob("*.tmp")) == []


HEARD = '{"kind": "audio", "path": "a"}'


def tokens(**changed: str) -> str:
    """An encoded dialogue with something changed."""
    fields = {"path": '"e"', "frames": "1", "seconds": "1", **changed}
    return '"encoded": {' + ", ".join(f'"{name}": {value}' for name, value in fields.items()) + "}"


def spoken(**changed: str) -> str:
    """A dialogue with one word."""
    fields = {"speaker": '"A"', "text": '"x"', "start": "0", "end": "1", **changed}
    word = ", ".join(f'"{name}": {value}' for name, value in fields.items())
    return f'"audio": [{HEARD}], "words": [{{{word}}}]'


OWN: dict[str, tuple[str, str]] = {
    "both": (f'"audio": [{HEARD}], {tokens()}', "dialogue: Value error, a dialogue has either 'audio' or 'encoded'"),
    "neither": ('"words": []', "dialogue: Value error, a dialogue has either 'audio' or 'encoded'"),
    "three files": (f'"audio": [{HEARD}, {HEARD}, {HEARD}]', "dialogue.audio: List should have at most 2 items"),
    "no frames": (tokens(frames="0"), "dialogue.encoded.frames: Input should be greater than 0, found 0; correct it"),
    "row -1": (tokens(row="-1"), "dialogue.encoded.row: Input should be greater than or equal to 0, found -1"),
    "NaN": (tokens(seconds="NaN"), "dialogue.encoded.seconds: Input should be a finite number, found nan; correct it"),
    "NUL": (tokens(text='"a\\u0000"'), "dialogue.encoded.text: String should match pattern"),
    "piece": (f'"audio": [{HEARD}], "piece": [2, 2]', "dialogue: Value error, the number of a piece counts from 0"),
    "speaker": (spoken(speaker='"C"'), "dialogue.words.0.speaker: Input should be 'A' or 'B', found 'C'; correct it"),
    "time": (spoken(start="NaN"), "dialogue.words.0.start: Input should be a finite number, found nan; correct it"),
    "no end": (spoken(end="-Infinity"), "dialogue.words.0.end: Input should be a finite number, found -inf; correct"),
}


@pytest.mark.parametrize("name", OWN)
def test_a_poisoned_line_of_our_own_is_refused(name: str, capfd: Capture, monkeypatch: Patch) -> None:
    content, message = OWN[name]
    Path("a.jsonl").write_text(f'{{"key": "k", "dialogue": {{{content}}}}}\n')
    code, errors = run(monkeypatch, capfd, "check", "a.jsonl")
    assert code == 1
    assert len(errors) == 1
    assert errors[0].startswith(f"a.jsonl:1: {message}")


def test_tokens_that_are_gone(capfd: Capture, monkeypatch: Patch) -> None:
    Path("a.jsonl").write_text(
        '{"key": "k", "dialogue": {"encoded": {"path": "e.parquet", "frames": 1, "seconds": 1}}}\n'
    )
    code, errors = run(monkeypatch, capfd, "check", "a.jsonl")
    assert code == 1
    assert errors == [f"a.jsonl:1: encoded: {Path.cwd()}/e.parquet: no such file; correct the path"]
