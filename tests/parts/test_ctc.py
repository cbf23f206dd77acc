"""CTC: greedy reading, alignment against all paths, and the loss."""

from __future__ import annotations

from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from voxtune.parts.ctc import align, ctc_loss_sum, greedy

BLANK = 3


def random_log_probs(frames: int, classes: int = BLANK + 1, seed: int = 0) -> Tensor:
    return torch.randn(frames, classes, generator=torch.Generator().manual_seed(seed)).mul(2).log_softmax(-1)


def collapsed(path: tuple[int, ...]) -> list[int]:
    return [token for i, token in enumerate(path) if token != BLANK and (i == 0 or path[i - 1] != token)]


def test_greedy_collapses_repeats_and_drops_blanks() -> None:
    best = [0, 0, BLANK, 0, 1, 1, BLANK, BLANK, 2]
    assert greedy(F.one_hot(torch.tensor(best)).float(), BLANK) == [0, 0, 1, 2]


@pytest.mark.parametrize("targets", [[0], [0, 1], [1, 1], [0, 1, 0], [2, 2, 2]])
@pytest.mark.parametrize("seed", range(4))
def test_alignment_is_the_best_of_all_paths(targets: list[int], seed: int) -> None:
    log_probs = random_log_probs(6, seed=seed)
    paths = [path for path in product(range(BLANK + 1), repeat=6) if collapsed(path) == targets]
    best = max(sum(log_probs[t, token].item() for t, token in enumerate(path)) for path in paths)
    aligned = align(log_probs, targets, BLANK)
    ours = [BLANK] * 6
    for item in aligned:
        ours[item.start : item.end] = [item.token] * (item.end - item.start)
    assert collapsed(tuple(ours)) == targets
    assert sum(log_probs[t, token].item() for t, token in enumerate(ours)) == pytest.approx(best, abs=1e-5)
    for item in aligned:
        assert item.score == pytest.approx(log_probs[item.start : item.end, item.token].max().exp().item())


def test_equal_neighbours_need_a_blank_between() -> None:
    first, second = align(random_log_probs(3), [1, 1], BLANK)
    assert (first.start, first.end, second.start, second.end) == (0, 1, 2, 3)
    with pytest.raises(ValueError, match="2 tokens need 3 frames, there are 2"):
        align(random_log_probs(2), [1, 1], BLANK)


def test_nothing_to_align() -> None:
    assert align(random_log_probs(3), [], BLANK) == []


def test_loss_is_the_sum_of_each_alone() -> None:
    rows = [random_log_probs(frames, seed=frames) for frames in (4, 9, 6)]
    targets = [torch.tensor(t) for t in ([0], [1, 1, 2], [2, 0])]
    alone = sum(
        F.ctc_loss(
            row[:, None], t[None], torch.tensor([len(row)]), torch.tensor([len(t)]), blank=BLANK, reduction="sum"
        )
        for row, t in zip(rows, targets, strict=True)
    )
    assert ctc_loss_sum(rows, targets, BLANK).item() == pytest.approx(float(alone), rel=1e-6)


def test_what_has_no_alignment_adds_nothing() -> None:
    row, targets = random_log_probs(6), torch.tensor([0, 1])
    only = ctc_loss_sum([row], [targets], BLANK)
    silent = torch.empty(0, dtype=torch.long)
    too_short = random_log_probs(1)
    both = ctc_loss_sum([row, row, too_short], [targets, silent, torch.tensor([1, 2])], BLANK)
    assert both.item() == pytest.approx(only.item())
    nothing = random_log_probs(3).requires_grad_()
    assert ctc_loss_sum([nothing], [silent], BLANK).item() == 0
