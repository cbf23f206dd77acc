"""What the whole-model cases share: the network of `model`, the batch of `prompt`."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from tests.parity.tensors import read_json, read_tensors
from voxtune.data.example import IGNORED, AudioInput, Batch, Example, pack
from voxtune.families.fun_asr_nano.config import config_from
from voxtune.families.fun_asr_nano.model import FunAsrNano


def network(case: Path, *, weights: dict[str, Tensor] | None = None) -> FunAsrNano:
    """The network of a `model` case, with its weights or others."""
    llm = read_json(case.parent / "prompt" / "Qwen3-tiny" / "config.json")
    model = FunAsrNano(config_from(read_json(case / "config.json"), llm))
    model.load_state_dict(weights or read_tensors(case, "weights"))
    return model.eval()


def collated_batch(case: Path) -> Batch:
    """Upstream's padded batch of a `prompt` case, laid end to end."""
    padded = read_tensors(case, "batch")
    examples, segment = [], 0
    for row in range(len(padded["input_ids"])):
        frames = int((padded["attention_mask"][row] > 0).sum())
        audio = []
        for start, count in zip(padded["fbank_beg"][row].tolist(), padded["fake_token_len"][row].tolist(), strict=True):
            if start > 0:
                rows = int(padded["speech_lengths"][segment, 0])
                audio.append(AudioInput(padded["speech"][segment, :rows], start, count))
                segment += 1
        labels = padded["labels_ids"][row, :frames].long()
        labels = torch.where(labels < 0, IGNORED, labels)
        examples.append(Example(str(row), padded["input_ids"][row : row + 1, :frames].long(), labels[None], audio))
    return pack(examples)
