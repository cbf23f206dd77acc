"""Fixtures that every room of tests may use."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from transformers import AutoTokenizer

from tests.helpers.fun_asr_nano_folder import TINY, random_model, write_folder
from voxtune.families.fun_asr_nano.config import Options
from voxtune.families.fun_asr_nano.layout import AsrLayout
from voxtune.families.fun_asr_nano.model import FunAsrNano
from voxtune.parts.ctc_tokenizer import CtcTokenizer

torch.set_num_threads(1)  # two test processes share two cores, and sums are the same on every machine


class TinyAsr(NamedTuple):
    """A Fun-ASR-Nano of a few thousand random parameters with a CTC branch, and its layout."""

    model: FunAsrNano
    layout: AsrLayout


def build_tiny_asr(options: Options | None = None, *, ctc: bool = True, seed: int = 0) -> TinyAsr:
    """The same model for the same seed. Its tokenizers are those of the built-in model."""
    options = options or Options()
    model = random_model(ctc=ctc, ctc_weight=options.ctc_weight, seed=seed, spread=0.5)
    tokenizer = AutoTokenizer.from_pretrained(TINY / "Qwen3-0.6B")
    ctc_tokenizer = CtcTokenizer(TINY / "multilingual.tiktoken") if ctc else None
    return TinyAsr(model, AsrLayout(model.config, options, tokenizer, None, ctc_tokenizer))


@pytest.fixture
def tiny_asr() -> TinyAsr:
    """A fresh tiny model in training mode, as a loop would hold it, with its layout."""
    return build_tiny_asr()


@pytest.fixture(scope="session")
def tiny_asr_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model in upstream's layout: config.yaml, model.pt, tokenizers."""
    return write_folder(tmp_path_factory.mktemp("tiny_asr") / "model", state=build_tiny_asr().model.state_dict())
