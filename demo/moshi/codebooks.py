"""How the codebooks of the codec are learnt: as running means of the vectors that choose them.

Upstream keeps of every row the running sum of those vectors and their running number, and so does its file; the update
is that of VQ-VAE (van den Oord et al. 2017, appendix A.1), the gradient passes straight through. A row that is chosen
too rarely starts again at a vector of the batch (SoundStream, Zeghidour et al. 2021, section III.C).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from voxtune.parts.mimi.quantizer import Codebook, ResidualQuantizer, SplitQuantizer, nearest

DECAY = 0.99
DEAD = 0.1
"""A row starts again when it is chosen less than this part of the average."""
KMEANS_ROUNDS = 10


def project(quantizer: SplitQuantizer, latent: Tensor) -> Tensor:
    """What the decoder gets if nothing is quantised: latent [batch, dimension, frames] -> the same shape."""
    halves = (quantizer.rvq_first, quantizer.rvq_rest)
    return sum((half.output_proj(half.input_proj(latent)) for half in halves), torch.zeros(()))


def quantise(quantizer: SplitQuantizer, latent: Tensor, used: Tensor) -> tuple[Tensor, Tensor]:
    """Quantise with gradients, and let the codebooks follow.

    latent: [batch, dimension, frames]; used: the number of codebooks of each item, int64 [batch], at least 1 (the
    others are dropped, so that the first learn most). Returns the quantised latent and the commitment loss: the mean
    squared distance of the vectors from their rows, added up over the codebooks.
    """
    first, first_distance = _quantise_half(quantizer.rvq_first, latent, used)
    rest, rest_distance = _quantise_half(quantizer.rvq_rest, latent, used - 1)
    return first + rest, first_distance + rest_distance


def _quantise_half(half: ResidualQuantizer, latent: Tensor, used: Tensor) -> tuple[Tensor, Tensor]:
    projected = half.input_proj(latent).transpose(1, 2)
    left = projected
    quantised = torch.zeros_like(projected)
    distance = torch.zeros(())
    for number in range(len(half.vq["layers"])):
        codebook = half.codebook(number)
        rows, chosen = _choose(left.detach(), codebook)
        is_used = (number < used)[:, None, None].float()
        distance = distance + (is_used * (left - rows).square()).mean()
        quantised = quantised + is_used * rows
        _follow(codebook, left.detach().flatten(0, 1), chosen.flatten())
        left = left - rows
    passed = (used > 0)[:, None, None].float() * projected
    return half.output_proj((passed + (quantised - passed).detach()).transpose(1, 2)), distance


def _choose(vectors: Tensor, codebook: Codebook) -> tuple[Tensor, Tensor]:
    table = codebook.table
    chosen = nearest(vectors, table)
    return table[chosen], chosen


@torch.no_grad()
def _follow(codebook: Codebook, vectors: Tensor, chosen: Tensor) -> None:
    bins = len(codebook.cluster_usage)
    member = F.one_hot(chosen, bins).float()
    codebook.cluster_usage.lerp_(member.sum(0), 1 - DECAY)
    codebook.embedding_sum.lerp_(member.T @ vectors, 1 - DECAY)
    average = codebook.cluster_usage.mean()
    dead = codebook.cluster_usage < DEAD * average
    codebook.cluster_usage[dead] = average
    codebook.embedding_sum[dead] = average * vectors[torch.randint(len(vectors), (int(dead.sum()),))]


@torch.no_grad()
def initialise(quantizer: SplitQuantizer, latent: Tensor, usage: float) -> None:
    """Set all codebooks by k-means of a latent [batch, dimension, frames], each on what the ones before it leave.

    usage: how many vectors a row gets in a batch of training, on average.
    """
    for half in (quantizer.rvq_first, quantizer.rvq_rest):
        left = half.input_proj(latent).transpose(1, 2).flatten(0, 1)
        for number in range(len(half.vq["layers"])):
            codebook = half.codebook(number)
            rows = _kmeans(left, len(codebook.cluster_usage))
            codebook.cluster_usage.fill_(usage)
            codebook.embedding_sum.copy_(usage * rows)
            codebook._initialized.fill_(1)
            left = left - rows[nearest(left, rows)]


def _kmeans(vectors: Tensor, bins: int) -> Tensor:
    rows = vectors[torch.randperm(len(vectors))[:bins]]
    for _ in range(KMEANS_ROUNDS):
        chosen = nearest(vectors, rows)
        count = torch.bincount(chosen, minlength=bins)[:, None]
        total = torch.zeros_like(rows).index_add_(0, chosen, vectors)
        again = vectors[torch.randint(len(vectors), (bins,))]
        rows = torch.where(count > 0, total / count.clamp(min=1), again)
    return rows
