"""Cross-entropy at label positions, without logits anywhere else."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

LOGITS_AT_ONCE = 2**24
"""More logits than this are computed in chunks of so many: memory stays flat, time hardly changes."""

UNLABELLED = -100
"""Label of a position that adds nothing, where others of its row of heads have one."""


def cross_entropy_sum(hidden: Tensor, head: Tensor, labels: Tensor) -> Tensor:
    """Sum of the negative log-likelihood (float32 scalar).

    hidden: [positions, width], head: [vocabulary, width] (a linear layer without bias), labels: int64 [positions].
    """
    return cross_entropy_sums(hidden[None], head[None], labels[None])[0]


def cross_entropy_sums(hidden: Tensor, heads: Tensor, labels: Tensor) -> Tensor:
    """Sums of the negative log-likelihood of several heads, float32 [heads], as batched products.

    hidden: [heads, positions, width], heads: [heads, vocabulary, width], labels: int64 [heads, positions], of which
    UNLABELLED ones add nothing.
    """
    if labels.numel() * heads.shape[1] <= LOGITS_AT_ONCE:
        logits = torch.bmm(hidden, heads.transpose(1, 2)).float()
        losses = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=UNLABELLED, reduction="none")
        return losses.view(labels.shape).sum(1)
    sums: Tensor = _ChunkedCrossEntropy.apply(hidden, heads, labels)  # type: ignore[no-untyped-call]
    return sums


class _ChunkedCrossEntropy(torch.autograd.Function):
    """Gradients are made in the forward pass, a chunk of logits at a time, so that no logits are kept."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, heads: Tensor, labels: Tensor) -> Tensor:
        need_hidden, need_heads, _ = ctx.needs_input_grad
        if torch.is_autocast_enabled(hidden.device.type):
            compute = torch.get_autocast_dtype(hidden.device.type)
            inputs, weight = hidden.to(compute), heads.to(compute)
        else:
            inputs, weight = hidden, heads
        sums = torch.zeros(len(heads), dtype=torch.float32, device=hidden.device)
        grad_hidden = torch.empty_like(hidden) if need_hidden else None
        grad_heads = torch.zeros_like(heads, dtype=torch.float32) if need_heads else None
        at_once = max(1, LOGITS_AT_ONCE // (heads.shape[0] * heads.shape[1]))
        for start in range(0, labels.shape[1], at_once):
            rows = slice(start, start + at_once)
            chosen, known = labels[:, rows].clamp(min=0)[..., None], labels[:, rows] != UNLABELLED
            log_probs = torch.bmm(inputs[:, rows], weight.transpose(1, 2)).float().log_softmax(-1)
            sums -= (log_probs.gather(2, chosen)[..., 0] * known).sum(1)
            grad = log_probs.exp_()
            grad.scatter_add_(2, chosen, torch.full_like(chosen, -1, dtype=grad.dtype))
            grad = grad.mul_(known[..., None]).to(weight.dtype)
            if grad_hidden is not None:
                grad_hidden[:, rows] = torch.bmm(grad, weight).to(hidden.dtype)
            if grad_heads is not None:
                if grad.dtype == grad_heads.dtype:
                    # Without a second tensor of the heads' size.
                    grad_heads.baddbmm_(grad.transpose(1, 2), inputs[:, rows])
                else:
                    grad_heads += torch.bmm(grad.transpose(1, 2), inputs[:, rows])
        ctx.save_for_backward(grad_hidden, grad_heads.to(heads.dtype) if grad_heads is not None else None)
        return sums

    @staticmethod
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        grad_hidden, grad_heads = ctx.saved_tensors
        by_head = scale[:, None, None]
        return (
            None if grad_hidden is None else grad_hidden.mul_(by_head),
            None if grad_heads is None else grad_heads.mul_(by_head),
            None,
        )
