"""voxtune's own layout: one Sample a line, as JSON, paths relative to the file."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from voxtune.data.formats.format import Format, TokenCounter
from voxtune.data.formats.lines import Problems, expressed, locator, numbered_lines, write_lines, written_path
from voxtune.data.formats.plain import json_keys
from voxtune.data.sample import Dialogue, Part, Sample


class VoxtuneJsonl(Format):
    """Reader and writer of Sample JSON lines."""

    name = "voxtune_jsonl"
    summary = "voxtune's own JSON lines (key, turns or dialogue)"
    suffixes = (".jsonl",)

    def recognises(self, file: Path, head: str) -> bool:
        return not json_keys(head).isdisjoint(("turns", "dialogue"))

    def read(self, files: Sequence[Path], problems: Problems) -> list[Sample]:
        samples = []
        for file in files:
            locate = locator(file, from_current_folder=False)
            for number, line in numbered_lines(file):
                try:
                    sample = Sample.model_validate_json(line)
                except ValidationError as error:
                    problems.invalid(file, number, error, list(Sample.model_fields))
                    continue
                for turn in sample.turns:
                    for part in turn.audio:
                        part.path = locate(part.path)
                if sample.dialogue is not None:
                    _locate_dialogue(sample.dialogue, locate)
                samples.append(sample.at(file, number))
        return samples

    def write(self, samples: Sequence[Sample], path: Path, count_tokens: TokenCounter | None) -> list[Path]:
        write_lines(path, expressed(samples, lambda sample: _as_json(sample, path)))
        return [path]


def _as_json(sample: Sample, manifest: Path) -> str:
    fields = sample.model_dump(exclude_defaults=True)
    if sample.dialogue is not None:
        fields["dialogue"] |= _dialogue_files(sample.dialogue, manifest)
    else:
        fields["turns"] = [
            {"role": turn.role, "parts": [_part(part, manifest) for part in turn.parts]} for turn in sample.turns
        ]
    return json.dumps(fields, ensure_ascii=False)


def _locate_dialogue(dialogue: Dialogue, locate: Callable[[str], str]) -> None:
    for part in dialogue.audio:
        part.path = locate(part.path)
    if (encoded := dialogue.encoded) is not None:
        encoded.path = locate(encoded.path)
        encoded.text = locate(encoded.text) if encoded.text is not None else None


def _dialogue_files(dialogue: Dialogue, manifest: Path) -> dict[str, Any]:
    if dialogue.encoded is None:
        return {"audio": [_part(part, manifest) for part in dialogue.audio]}
    fields = dialogue.encoded.model_dump(exclude_defaults=True)
    paths = {name: written_path(fields[name], manifest) for name in ("path", "text") if name in fields}
    return {"encoded": {**fields, **paths}}


def _part(part: Part, manifest: Path) -> dict[str, Any]:
    fields = part.model_dump(exclude_defaults=True)
    if "path" in fields:
        fields["path"] = written_path(fields["path"], manifest)
    return {"kind": part.kind, **fields}


FORMAT = VoxtuneJsonl()
