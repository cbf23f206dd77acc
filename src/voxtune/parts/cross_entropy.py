"""Cross-entropy at label positions, without logits anywhere else."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

LOGITS_AT_ONCE = 2**24
"""More logits than this are computed in chunks of so many: memory stays flat, time hardly changes."""


def cross_entropy_sum(hidden: Tensor, head: Tensor, labels: Tensor) -> Tensor:
    """Sum of the negative log-likelihood (float32 scalar).

    hidden: [positions, width], head: [vocabulary, width] (a linear layer without bias), labels: int64 [positions].
    """
    if len(labels) * len(head) <= LOGITS_AT_ONCE:
        return F.cross_entropy(F.linear(hidden, head).float(), labels, reduction="sum")
    loss: Tensor = _ChunkedCrossEntropy.apply(hidden, head, labels)  # type: ignore[no-untyped-call]
    return loss


class _ChunkedCrossEntropy(torch.autograd.Function):
    """Gradients are made in the forward pass, a chunk of logits at a time, so that no logits are kept."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, head: Tensor, labels: Tensor) -> Tensor:
        need_hidden, need_head, _ = ctx.needs_input_grad
        if torch.is_autocast_enabled(hidden.device.type):
            compute = torch.get_autocast_dtype(hidden.device.type)
            inputs, weight = hidden.to(compute), head.to(compute)
        else:
            inputs, weight = hidden, head
        loss = torch.zeros((), dtype=torch.float32, device=hidden.device)
        grad_hidden = torch.empty_like(hidden) if need_hidden else None
        grad_head = torch.zeros_like(head, dtype=torch.float32) if need_head else None
        at_once = max(1, LOGITS_AT_ONCE // len(head))
        for start in range(0, len(labels), at_once):
            rows = slice(start, start + at_once)
            logits = F.linear(inputs[rows], weight).float()
            log_probs = logits.log_softmax(-1)
            loss -= log_probs.gather(1, labels[rows, None]).sum()
            grad = log_probs.exp_()
            grad[torch.arange(len(grad), device=grad.device), labels[rows]] -= 1
            grad = grad.to(weight.dtype)
            if grad_hidden is not None:
                grad_hidden[rows] = (grad @ weight).to(hidden.dtype)
            if grad_head is not None:
                if grad.dtype == grad_head.dtype:
                    grad_head.addmm_(grad.T, inputs[rows])  # without a second matrix of the head's size
                else:
                    grad_head += grad.T @ inputs[rows]
        ctx.save_for_backward(grad_hidden, grad_head.to(head.dtype) if grad_head is not None else None)
        return loss

    @staticmethod
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        grad_hidden, grad_head = ctx.saved_tensors
        return (
            None if grad_hidden is None else grad_hidden.mul_(scale),
            None if grad_head is None else grad_head.mul_(scale),
            None,
        )
