"""What the layers keep between two pieces of a signal."""

from __future__ import annotations

from collections.abc import Callable, Hashable

from torch import Tensor, nn


class Memory:
    """One pass over a batch of signals, in one piece or in many.

    past: what each layer still needs of the signal, batch first. steps: how many the transformer has seen.
    arranged: weights in the form that a layer multiplies with, so that a pass arranges them once; they must not
    change while it runs.
    """

    def __init__(self) -> None:
        self.past: dict[nn.Module, Tensor] = {}
        self.steps = 0
        self._arranged: dict[Hashable, tuple[Tensor, ...]] = {}

    def arranged(self, key: Hashable, arrange: Callable[[], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        """What `arrange` returned the first time that this key was asked for."""
        if key not in self._arranged:
            self._arranged[key] = arrange()
        return self._arranged[key]

    def forget(self) -> None:
        """Begin new signals, keeping the arranged weights."""
        self.past, self.steps = {}, 0
