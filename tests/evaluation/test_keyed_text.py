"""Files of keys and texts, good and bad."""

from __future__ import annotations

from pathlib import Path

import pytest

from voxtune.errors import DataError
from voxtune.evaluation.keyed_text import read_keyed_text


def test_keys_texts_and_lines(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes("\ufeffb\tone  two \r\n\r\n  a   three\u2028four\r\nempty\n".encode())
    keyed = read_keyed_text(path)
    assert keyed.texts == {"b": "one  two", "a": "three\u2028four", "empty": ""}
    assert keyed.where("a") == f"{path}:3"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a one\nb two\na three\n", r"text:3: key 'a' is on line 1 already"),
        (b"a one\nb \xff\xfe\n", r"text:2: not UTF-8 text"),
        ("a one\n".encode("utf-16"), r"text:1: not UTF-8 text"),
        (b"", r"text: no utterance in it"),
        (b" \n\t\n\n", r"text: no utterance in it"),
    ],
)
def test_bad_files_give_one_clear_message(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "text"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_keyed_text(path)


def test_a_file_that_is_not_there_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_keyed_text(tmp_path / "missing")
    with pytest.raises(DataError, match="cannot be read"):
        read_keyed_text(tmp_path)
