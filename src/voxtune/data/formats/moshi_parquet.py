"""nu-dialogue's parquet files: dialogue_id, A and B, each the text and the codes of all codebooks as lists."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from voxtune.data.encoded import FRAMES_PER_SECOND, write_encoded_parquet
from voxtune.data.formats.format import Format, TokenCounter
from voxtune.data.formats.lines import Problems, shown
from voxtune.data.formats.tokens import check_encoded, encoded_rows
from voxtune.data.parquet_rows import SCHEMA, open_rows, row_lengths, unused_columns
from voxtune.data.sample import SPEAKERS, Dialogue, Encoded, Sample


class MoshiParquet(Format):
    """Reader and writer of parquet files. What stands for a line is the row, counted from 1."""

    name = "moshi_parquet"
    summary = "parquet files with dialogue_id, A and B (lists: text, then the codes of each codebook)"
    suffixes = (".parquet",)

    def recognises(self, file: Path, head: str) -> bool:
        return False

    def recognises_path(self, path: Path) -> bool:
        return path.suffix.lower() in self.suffixes

    def read(self, files: Sequence[Path], problems: Problems) -> list[Sample]:
        samples = []
        for file in files:
            table, path = open_rows(file), str(file.absolute())
            problems.extra(file, 1, unused_columns(file), SCHEMA.names)
            lengths = (row_lengths(table, speaker) for speaker in SPEAKERS)
            for row, (key, a, b) in enumerate(zip(table["dialogue_id"].to_pylist(), *lengths, strict=True)):
                problem = None if key else ("dialogue_id", "is empty; name the dialogue")
                if problem := problem or _misshapen(a, b):
                    problems.error(file, row + 1, *problem)
                    continue
                encoded = Encoded(path=path, row=row, frames=a[0], seconds=a[0] / FRAMES_PER_SECOND)
                samples.append(Sample(key=key, dialogue=Dialogue(encoded=encoded)).at(file, row + 1))
        return samples

    def write(self, samples: Sequence[Sample], path: Path, count_tokens: TokenCounter | None) -> list[Path]:
        check_encoded(samples)
        prefix = path.with_suffix("") if path.suffix.lower() in self.suffixes else path
        names = [sample.key if "/" in sample.key else f"{prefix}/{sample.key}" for sample in samples]
        return write_encoded_parquet(encoded_rows(samples, names), prefix, len(samples))


def _misshapen(a: Sequence[int], b: Sequence[int]) -> tuple[str, str] | None:
    """The column of a row that is no [1 + codebooks, frames] as that of the other speaker, and why."""
    for name, lengths in (("A", a), ("B", b)):
        if len(lengths) < 2:
            return name, f"{len(lengths)} lists; there must be the text and the codes of each codebook"
        if len(set(lengths)) > 1 or lengths[0] <= 0:
            return name, f"lists of {shown(lengths)} tokens; they must be equally long, and not empty"
    if len(a) != len(b) or a[0] != b[0]:
        return "B", f"{len(b)} lists of {b[0]} tokens, but {len(a)} of {a[0]} in A; they must have the same shape"
    return None


FORMAT = MoshiParquet()
