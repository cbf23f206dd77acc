"""Dialogues of tokens, for the layouts that hold them so."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor

from voxtune.data.encoded import read_encoded
from voxtune.data.formats.lines import expressed
from voxtune.data.formats.stereo import dialogue_of
from voxtune.data.sample import Encoded, Sample
from voxtune.errors import DataError


def encoded_of(sample: Sample) -> Encoded:
    """The tokens of a dialogue. Raises DataError when it has none, or more than layouts of tokens can hold."""
    encoded = dialogue_of(sample).encoded
    if encoded is None:
        raise DataError("recordings cannot be written in this layout, only tokens; run `voxtune encode` on a recipe")
    return encoded


def check_encoded(samples: Sequence[Sample]) -> None:
    """Raise DataError naming the samples that layouts of tokens cannot hold."""
    expressed(samples, lambda sample: encoded_of(sample).path)


def encoded_rows(samples: Sequence[Sample], names: Sequence[str]) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Name and tokens of A and of B, one dialogue at a time."""
    for sample, name in zip(samples, names, strict=True):
        yield name, *read_encoded(encoded_of(sample))
