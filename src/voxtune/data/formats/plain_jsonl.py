"""Plain JSON lines: {"audio": "a.wav", "text": "..."} and a few optional fields."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from voxtune.data.formats.format import Format, TokenCounter
from voxtune.data.formats.lines import Problems, expressed, locator, numbered_lines, write_lines, written_path
from voxtune.data.formats.plain import MISLEADING, PLAIN_FIELDS, PlainFields, default_key, json_keys, plain_values
from voxtune.data.sample import Sample


class PlainJsonl(Format):
    """Reader and writer of plain JSON lines."""

    name = "plain_jsonl"
    summary = "JSON lines with audio, text and optionally key, language, hotwords, start, duration, channel"
    suffixes = ()

    def recognises(self, file: Path, head: str) -> bool:
        return "audio" in json_keys(head)

    def read(self, files: Sequence[Path], problems: Problems) -> list[Sample]:
        samples = []
        for file in files:
            locate = locator(file, from_current_folder=False)
            for number, line in numbered_lines(file):
                try:
                    fields = PlainFields.model_validate_json(line)
                    sample = fields.sample(default_key(file, number), locate(fields.audio))
                except ValidationError as error:
                    problems.invalid(file, number, error, PLAIN_FIELDS)
                    continue
                problems.extra(file, number, fields.model_extra or (), PLAIN_FIELDS, MISLEADING)
                samples.append(sample.at(file, number))
        return samples

    def write(self, samples: Sequence[Sample], path: Path, count_tokens: TokenCounter | None) -> list[Path]:
        write_lines(path, expressed(samples, lambda sample: _as_json(sample, path)))
        return [path]


def _as_json(sample: Sample, manifest: Path) -> str:
    values = plain_values(sample)
    return json.dumps(values | {"audio": written_path(values["audio"], manifest)}, ensure_ascii=False)


FORMAT = PlainJsonl()
