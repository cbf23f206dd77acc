"""Residual vector quantisation: a latent as the nearest rows of several tables, one after the other.

Source of the numbers: kyutai-labs/moshi, quantization/vq.py and quantization/core_vq.py.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from voxtune.parts.mimi.config import QuantizerConfig
from voxtune.parts.mimi.memory import Memory

SMALLEST_USAGE = 1e-5


class Codebook(nn.Module):
    """A table as upstream trains it: the running sum of the vectors that chose a row, and how many they were."""

    _initialized: Tensor
    cluster_usage: Tensor
    embedding_sum: Tensor

    def __init__(self, bins: int, dimension: int) -> None:
        super().__init__()
        self.register_buffer("_initialized", torch.zeros(1))
        self.register_buffer("cluster_usage", torch.ones(bins))
        self.register_buffer("embedding_sum", torch.randn(bins, dimension))

    @property
    def table(self) -> Tensor:
        """The rows, [bins, dimension]."""
        return self.embedding_sum / self.cluster_usage.clamp(min=SMALLEST_USAGE)[:, None]


class ResidualQuantizer(nn.Module):
    """Codebooks of which each quantises what the ones before it left, between two projections without bias."""

    def __init__(self, codebooks: int, config: QuantizerConfig) -> None:
        super().__init__()
        layers = (nn.ModuleDict({"_codebook": Codebook(config.bins, config.dimension)}) for _ in range(codebooks))
        self.vq = nn.ModuleDict({"layers": nn.ModuleList(layers)})
        self.input_proj = nn.Conv1d(config.input_dimension, config.dimension, 1, bias=False)
        self.output_proj = nn.Conv1d(config.dimension, config.output_dimension, 1, bias=False)

    def codebook(self, number: int) -> Codebook:
        """The codebook of that number in this quantiser, from 0."""
        return self.get_submodule(f"vq.layers.{number}._codebook")  # type: ignore[return-value]

    def encode(self, latent: Tensor, codebooks: int, memory: Memory) -> list[Tensor]:
        """latent [batch, dimension, frames] -> `codebooks` tensors int64 [batch, frames]."""
        left = self.input_proj(latent).transpose(1, 2).flatten(0, 1)
        codes = []
        for number in range(codebooks):
            table = self.table(number, memory)
            codes.append(nearest(left, table))
            left = left - table[codes[-1]]
        return [chosen.view(len(latent), -1) for chosen in codes]

    def decode(self, codes: Tensor, memory: Memory) -> Tensor:
        """codes [batch, codebooks, frames] -> [batch, dimension, frames]."""
        rows = [self.table(number, memory)[chosen] for number, chosen in enumerate(codes.unbind(1))]
        return self.output_proj(torch.stack(rows).sum(0).transpose(1, 2))  # type: ignore[no-any-return]

    def table(self, number: int, memory: Memory) -> Tensor:
        """The rows of the codebook of that number."""
        codebook = self.codebook(number)
        return memory.arranged(codebook, lambda: (codebook.table,))[0]


class SplitQuantizer(nn.Module):
    """Two residual quantisers of the same latent: `rvq_first` for what is said, `rvq_rest` for how it sounds."""

    def __init__(self, config: QuantizerConfig) -> None:
        super().__init__()
        self.semantic = config.n_q_semantic
        self.rvq_first = ResidualQuantizer(self.semantic, config)
        self.rvq_rest = ResidualQuantizer(config.n_q - self.semantic, config)

    def encode(self, latent: Tensor, codebooks: int, memory: Memory | None = None) -> Tensor:
        """latent [batch, dimension, frames] -> int64 codes [batch, codebooks, frames]."""
        memory = memory or Memory()
        codes = self.rvq_first.encode(latent, self.semantic, memory)
        codes += self.rvq_rest.encode(latent, codebooks - self.semantic, memory)
        return torch.stack(codes, 1)

    def decode(self, codes: Tensor, memory: Memory | None = None) -> Tensor:
        """codes [batch, codebooks, frames], as many codebooks as there are -> latent [batch, dimension, frames]."""
        memory = memory or Memory()
        latent = self.rvq_first.decode(codes[:, : self.semantic], memory)
        if codes.shape[1] > self.semantic:
            latent = latent + self.rvq_rest.decode(codes[:, self.semantic :], memory)
        return latent


def nearest(vectors: Tensor, table: Tensor) -> Tensor:
    """Number of the row nearest to each vector by Euclidean distance: [..., dimension] -> int64 [...].

    |v - c|^2 = |v|^2 - 2 (v c - |c|^2 / 2), of which |v|^2 does not matter: one matrix product and no distances.
    """
    half_norm = table.square().sum(1) / 2
    return (vectors @ table.T - half_norm).argmax(-1)
