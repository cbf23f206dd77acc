"""Packed = alone: examples laid end to end do not see each other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.conftest import TinyAsr, build_tiny_asr
from voxtune.data.example import Example, muted, pack
from voxtune.data.sample import AudioPart, Sample, TextPart, Turn, transcription
from voxtune.families.fun_asr_nano.config import Options


@pytest.fixture
def asr() -> TinyAsr:
    return build_tiny_asr(Options(ctc_weight=0.5))


def examples(asr: TinyAsr, lengths: tuple[int, ...] = (9000, 30001, 400, 16000)) -> list[Example]:
    random = np.random.default_rng(1)
    made = []
    for number, length in enumerate(lengths):
        waveform = torch.from_numpy(random.standard_normal(length, dtype=np.float32)) * 0.1
        sample = transcription(f"s{number}", AudioPart(path="unused"), f"falcon {'jetty ' * number}now")
        made.append(asr.layout.example(sample, [waveform], None))
    sample = Sample(key="text", turns=[
        Turn(role="user", parts=[TextPart(text="no sound here")]),
        Turn(role="assistant", parts=[TextPart(text="timber")]),
    ])  # fmt: skip
    return [*made, asr.layout.example(sample, [], None)]


def losses(asr: TinyAsr, parts: list[Example]) -> dict[str, Tensor]:
    sums: dict[str, Tensor] = asr.model(pack(parts))
    return sums


def test_a_pack_gives_the_loss_and_the_gradients_of_its_examples_alone(asr: TinyAsr) -> None:
    parts = examples(asr)
    together = losses(asr, parts)
    (together["text"] + together["ctc"]).backward()
    packed = {name: p.grad.clone() for name, p in asr.model.named_parameters() if p.grad is not None}
    asr.model.zero_grad()
    alone = [losses(asr, [part]) for part in parts]
    for name in ("text", "ctc"):
        assert sum(one[name].item() for one in alone) == pytest.approx(together[name].item(), rel=1e-5)
    sum(one["text"] + one["ctc"] for one in alone).backward()  # type: ignore[union-attr]
    for name, parameter in asr.model.named_parameters():
        if name in packed:
            assert parameter.grad is not None
            scale = max(1.0, packed[name].abs().max().item())
            assert torch.allclose(parameter.grad, packed[name], atol=2e-5 * scale), name


def test_each_label_has_the_same_loss_in_any_company(asr: TinyAsr) -> None:
    first, second, *_ = examples(asr)
    alone = losses(asr, [second])["text"].item()
    quiet = muted(pack([first]))
    silent_neighbour = replace(first, labels=quiet.labels, audio=quiet.audio)
    assert losses(asr, [silent_neighbour, second])["text"].item() == pytest.approx(alone, abs=1e-5)


def test_changing_one_example_leaves_its_neighbour_unchanged(asr: TinyAsr) -> None:
    first, second, *_ = examples(asr)
    louder = replace(first, audio=[replace(first.audio[0], features=first.audio[0].features * 3 + 1)])
    with torch.no_grad():
        before = losses(asr, [first, second])["text"] - losses(asr, [first])["text"]
        after = losses(asr, [louder, second])["text"] - losses(asr, [louder])["text"]
        assert losses(asr, [louder])["text"].item() != pytest.approx(losses(asr, [first])["text"].item(), abs=1e-4)
    assert after.item() == pytest.approx(before.item(), abs=1e-4)


def test_a_muted_batch_counts_nothing_and_has_no_gradient(asr: TinyAsr) -> None:
    batch = muted(pack(examples(asr)))
    sums = asr.model(batch)
    assert asr.model.label_counts(batch) == {"text": 0, "ctc": 0}
    assert sums["text"].item() == sums["ctc"].item() == 0
    (sums["text"] + sums["ctc"]).backward()
    assert all(p.grad is None or not p.grad.any() for p in asr.model.parameters())


def test_a_batch_moves_with_everything_in_it(asr: TinyAsr) -> None:
    moved = pack(examples(asr)).to(torch.device("meta"))
    tensors = [moved.tokens, moved.labels, *(t for audio in moved.audio for t in (audio.features, audio.labels))]
    assert all(tensor.is_meta for tensor in tensors)
