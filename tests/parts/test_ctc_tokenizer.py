"""The CTC vocabulary: a file of ranks."""

from __future__ import annotations

import base64
import pickle
from pathlib import Path

import pytest

from tests.helpers.fun_asr_nano_folder import TINY
from voxtune.errors import CheckpointError
from voxtune.parts.ctc_tokenizer import CtcTokenizer


@pytest.fixture(scope="module")
def tokenizer() -> CtcTokenizer:
    return CtcTokenizer(TINY / "multilingual.tiktoken")


@pytest.mark.parametrize("text", ["", "the harbour opens at nine", "今天天气很好，去公园。", "naïve <|im_end|> 42%"])
def test_round_trip(tokenizer: CtcTokenizer, text: str) -> None:
    classes = tokenizer.encode(text)
    assert tokenizer.decode(classes) == text
    assert all(0 <= c < len(tokenizer.ranks) for c in classes)


def test_control_classes_decode_to_nothing(tokenizer: CtcTokenizer) -> None:
    assert tokenizer.decode([len(tokenizer.ranks), *tokenizer.encode("a"), len(tokenizer.ranks) + 7]) == "a"


def test_survives_pickling(tokenizer: CtcTokenizer) -> None:
    again = pickle.loads(pickle.dumps(tokenizer))
    assert again.encode("the harbour") == tokenizer.encode("the harbour")


@pytest.mark.parametrize("line", ["no-rank", "YQ== x", "!!! 3", "YQ== 1 2"])
def test_a_damaged_line_is_named(tmp_path: Path, line: str) -> None:
    file = tmp_path / "ranks.tiktoken"
    good = "\n".join(f"{base64.b64encode(bytes([i])).decode()} {i}" for i in range(3))
    file.write_text(f"{good}\n{line}\n")
    with pytest.raises(CheckpointError, match=r"ranks\.tiktoken:4"):
        CtcTokenizer(file)
