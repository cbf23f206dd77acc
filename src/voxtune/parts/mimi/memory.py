"""What the layers keep of a signal between two pieces of it."""

from __future__ import annotations

from torch import Tensor, nn


class Memory:
    """The past of a batch of signals: a tensor a layer, batch first, and the steps that the transformer has seen."""

    def __init__(self) -> None:
        self.kept: dict[nn.Module, Tensor] = {}
        self.steps = 0

    def narrow(self, rows: int) -> None:
        """Go on with the first `rows` of the batch."""
        self.kept = {layer: past[:rows] for layer, past in self.kept.items()}
