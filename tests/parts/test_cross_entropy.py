"""Cross-entropy at label positions: chunks give the numbers of the whole."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from voxtune.parts import cross_entropy
from voxtune.parts.cross_entropy import cross_entropy_sum

ONE_PIECE = 40
CHUNKED = 41
CHUNKED_UNEVENLY = 97


@pytest.fixture(autouse=True)
def few_logits_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cross_entropy, "LOGITS_AT_ONCE", ONE_PIECE * 50)


def inputs(rows: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(rows)
    hidden = torch.randn(rows, 16, generator=generator).requires_grad_()
    head = torch.randn(50, 16, generator=generator).requires_grad_()
    return hidden, head, torch.randint(0, 50, (rows,), generator=generator)


@pytest.mark.parametrize("rows", [0, 1, ONE_PIECE, CHUNKED, CHUNKED_UNEVENLY])
def test_sum_and_gradients(rows: int) -> None:
    hidden, head, labels = inputs(rows)
    expected = F.cross_entropy(hidden.double() @ head.double().T, labels, reduction="sum")
    expected_gradients = torch.autograd.grad(expected, (hidden, head))
    loss = cross_entropy_sum(hidden, head, labels)
    assert loss.dtype is torch.float32
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    for ours, theirs in zip(torch.autograd.grad(loss, (hidden, head)), expected_gradients, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)


def test_scale_of_the_gradient() -> None:
    hidden, head, labels = inputs(CHUNKED)
    (once,) = torch.autograd.grad(cross_entropy_sum(hidden, head, labels), hidden)
    (halved,) = torch.autograd.grad(cross_entropy_sum(hidden, head, labels) / 2, hidden)
    assert torch.allclose(halved, once / 2)


def test_frozen_head_gets_no_gradient() -> None:
    hidden, head, labels = inputs(CHUNKED)
    cross_entropy_sum(hidden, head.detach(), labels).backward()
    assert hidden.grad is not None
    assert head.grad is None


def test_half_precision_sums_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    hidden, head, labels = inputs(CHUNKED)
    hidden, head = hidden.bfloat16(), head.bfloat16()
    chunked = cross_entropy_sum(hidden, head, labels)
    monkeypatch.setattr(cross_entropy, "LOGITS_AT_ONCE", head.numel() * len(labels))
    whole = cross_entropy_sum(hidden, head, labels)
    exact = F.cross_entropy(hidden.double() @ head.double().T, labels, reduction="sum")
    assert chunked.dtype is whole.dtype is torch.float32
    assert chunked.item() == pytest.approx(exact.item(), rel=2e-3)
    assert whole.item() == pytest.approx(exact.item(), rel=2e-3)
