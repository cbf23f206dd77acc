"""The text tokenizer: spelling, bytes, pickling, damaged files."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from tests.families.moshi.text_models import english, english_with_bytes, japanese
from voxtune.errors import CheckpointError
from voxtune.families.moshi.tokenizer import TextTokenizer


def test_text_there_and_back() -> None:
    for tokenizer, text in ((english(), "hello how are you"), (japanese(), "今日はいい天気です")):
        assert tokenizer.text(tokenizer.encode([text])[0]) == text
        assert tokenizer.encode([text, text]) == [tokenizer.encode([text])[0]] * 2
    assert english().encode([]) == []


def test_bytes_become_characters() -> None:
    tokenizer = english_with_bytes()
    tokens = tokenizer.encode(["you € 駅"])[0]
    assert len(tokens) > len("you € 駅")
    assert tokenizer.text(tokens) == "you € 駅"


def test_what_says_nothing() -> None:
    tokenizer = english()
    said = tokenizer.encode(["hello"])[0]
    assert tokenizer.text([3, 0, *said, -1, tokenizer.size, 32000, 3], skip=(0, 3)) == "hello"
    assert tokenizer.text([]) == ""
    assert not any(tokenizer.is_text(token) for token in (0, 1, 2, 3, -1, tokenizer.size))
    assert all(tokenizer.is_text(token) for token in said)


def test_pieces_know_their_characters() -> None:
    text = "the ﬁsh  駅"
    pieces = english().pieces(text)
    assert [piece.id for piece in pieces] == english().encode([text])[0]
    assert "".join(piece.text for piece in pieces) == "▁the▁fish▁駅"
    assert [text[piece.begin : piece.end] for piece in pieces if piece.text == "▁"] == ["  "]
    (half_width, *_) = [piece for piece in japanese().pieces("ｶﾞです") if "ガ" in piece.text]
    assert (half_width.begin, half_width.end) == (0, 2)


def test_pickled_copy_is_the_same() -> None:
    tokenizer = english()
    copy = pickle.loads(pickle.dumps(tokenizer))
    assert copy.model == tokenizer.model
    assert copy.pieces("hello you") == tokenizer.pieces("hello you")


def test_load(tmp_path: Path) -> None:
    path = tmp_path / "text.model"
    path.write_bytes(english().model)
    assert TextTokenizer.load(path).size == english().size
    assert (TextTokenizer.load(path).bos_id, TextTokenizer.load(path).eos_id) == (1, 2)


@pytest.mark.parametrize("content", [b"", b"version https://git-lfs", b"\0" * 64, english().model[:-40]])
def test_no_model(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "text.model"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"text\.model: it is no SentencePiece model"):
        TextTokenizer.load(path)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"text\.model.*cannot be read"):
        TextTokenizer.load(tmp_path / "text.model")
