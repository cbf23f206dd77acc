"""Token by token alignment of what was recognised with what was said, and the counts of its errors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from rapidfuzz.distance import Levenshtein

Operation = Literal["equal", "substitute", "delete", "insert"]


class AlignedPair(NamedTuple):
    """One column of an alignment. A deletion has no hypothesis token and an insertion no reference token: "" there."""

    operation: Operation
    reference: str
    hypothesis: str


@dataclass(frozen=True, slots=True)
class Counts:
    """How many tokens were right, substituted, deleted and inserted."""

    correct: int = 0
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0

    @property
    def errors(self) -> int:
        return self.substitutions + self.deletions + self.insertions

    @property
    def reference_length(self) -> int:
        return self.correct + self.substitutions + self.deletions

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.correct + other.correct,
            self.substitutions + other.substitutions,
            self.deletions + other.deletions,
            self.insertions + other.insertions,
        )


def align(reference: Sequence[str], hypothesis: Sequence[str]) -> list[AlignedPair]:
    """The alignment with the fewest errors, each of them costing one (Levenshtein)."""
    pairs: list[AlignedPair] = []
    for block in Levenshtein.opcodes(reference, hypothesis):
        said = reference[block.src_start : block.src_end]
        heard = hypothesis[block.dest_start : block.dest_end]
        if block.tag == "delete":
            pairs += (AlignedPair("delete", token, "") for token in said)
        elif block.tag == "insert":
            pairs += (AlignedPair("insert", "", token) for token in heard)
        else:
            operation: Operation = "equal" if block.tag == "equal" else "substitute"
            pairs += (AlignedPair(operation, *tokens) for tokens in zip(said, heard, strict=True))
    return pairs


def count(alignment: Iterable[AlignedPair]) -> Counts:
    """The counts of an alignment, or of some of its columns."""
    seen = Counter(pair.operation for pair in alignment)
    return Counts(seen["equal"], seen["substitute"], seen["delete"], seen["insert"])
