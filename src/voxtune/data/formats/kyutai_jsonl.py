"""kyutai's index of stereo files (left the model, right its partner), with NAME.json of the words beside NAME.wav."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from voxtune.data.audio import probe
from voxtune.data.formats.format import Format, TokenCounter
from voxtune.data.formats.json_file import read_json_file
from voxtune.data.formats.lines import Problems, expressed, locator, numbered_lines, write_lines
from voxtune.data.formats.plain import json_keys
from voxtune.data.formats.stereo import file_names, recorded_dialogue_of, write_stereo
from voxtune.data.sample import NO_NUL, AudioPart, Dialogue, Sample, Word
from voxtune.errors import DataError
from voxtune.files import atomic_folder

Seconds = Annotated[float, Field(allow_inf_nan=False)]
MAIN, OTHER = "SPEAKER_MAIN", "SPEAKER_OTHER"
ROUNDING_SECONDS = 0.1
"""How far the length in the index may be from the recording's."""


class IndexLine(BaseModel):
    """A line of the index."""

    model_config = ConfigDict(extra="allow", strict=True)

    path: str = Field(min_length=1, pattern=NO_NUL)
    duration: float = Field(gt=0, allow_inf_nan=False)


class Transcript(BaseModel):
    """The file of words: a word, its start and end, and a label of its speaker."""

    model_config = ConfigDict(extra="allow", strict=True)

    alignments: list[tuple[str, tuple[Seconds, Seconds], str]]


KNOWN = tuple(IndexLine.model_fields)
TRANSCRIPT = TypeAdapter(Transcript)
FIELDS = ("word", "times", "label")


class KyutaiJsonl(Format):
    """Reader and writer of the index and its words. SPEAKER_MAIN is A; any other label is B."""

    name = "kyutai_jsonl"
    summary = "kyutai's JSON lines (path, duration) of stereo files, with NAME.json of the words beside NAME.wav"
    suffixes = ()

    def recognises(self, file: Path, head: str) -> bool:
        keys = json_keys(head)
        return keys >= set(KNOWN) and keys.isdisjoint(("turns", "dialogue", "audio", "messages", "text"))

    def read(self, files: Sequence[Path], problems: Problems) -> list[Sample]:
        samples = []
        for file in files:
            locate = locator(file, from_current_folder=False)
            for number, line in numbered_lines(file):
                try:
                    entry = IndexLine.model_validate_json(line)
                except ValidationError as error:
                    problems.invalid(file, number, error, KNOWN)
                    continue
                problems.extra(file, number, entry.model_extra or (), KNOWN)
                recording = AudioPart(path=locate(entry.path))
                words = _read_words(file, number, Path(recording.path).with_suffix(".json"), problems)
                if words is None or not _as_long_as_said(file, number, entry, recording, problems):
                    continue
                dialogue = Dialogue(audio=[recording], words=words)
                samples.append(Sample(key=str(Path(entry.path).with_suffix("")), dialogue=dialogue).at(file, number))
        return samples

    def write(self, samples: Sequence[Sample], path: Path, count_tokens: TokenCounter | None) -> list[Path]:
        transcripts = expressed(samples, lambda sample: _as_json(recorded_dialogue_of(sample).words))
        names = file_names(samples)
        target = path.with_name(f"{path.stem}_stereo")
        if target.is_dir() and any(target.iterdir()):
            raise DataError(f"{target}: a folder with files in it, the recordings would go there; remove it")
        lines = []
        with atomic_folder(target.absolute()) as folder:
            for name, transcript, sample in zip(names, transcripts, samples, strict=True):
                seconds = write_stereo(sample, folder / f"{name}.wav")
                (folder / f"{name}.json").write_text(transcript, encoding="utf-8")
                entry = {"path": f"{target.name}/{name}.wav", "duration": seconds}
                lines.append(json.dumps(entry, ensure_ascii=False))
        write_lines(path, lines)
        return [path, target]


def _read_words(index: Path, number: int, file: Path, problems: Problems) -> list[Word] | None:
    if not os.path.isfile(file):  # noqa: PTH113 (Path raises on long names)
        problems.error(index, number, "path", f"no words, {file} does not exist; make it with kyutai's annotate.py")
        return None
    transcript = read_json_file(file, TRANSCRIPT, problems, _field)
    if transcript is None:
        return None
    problems.extra(file, 1, transcript.model_extra or (), tuple(Transcript.model_fields))
    return [
        Word(speaker="A" if label == MAIN else "B", text=text, start=start, end=end)
        for text, (start, end), label in transcript.alignments
    ]


def _field(steps: Sequence[int | str]) -> str:
    """The name of a place in a transcript, such as `alignments, entry 3.label`."""
    match steps:
        case (str(name), int(entry), int(field), *rest):
            return ".".join([f"{name}, entry {entry + 1}", FIELDS[field], *map(str, rest)])
        case (str(name), int(entry)):
            return f"{name}, entry {entry + 1}"
    return ".".join(map(str, steps))


def _as_long_as_said(index: Path, number: int, entry: IndexLine, recording: AudioPart, problems: Problems) -> bool:
    """Whether the recording's length is that of its line; where it cannot be read, checking will say so."""
    try:
        seconds = probe(recording).seconds
    except DataError:
        return True
    if abs(seconds - entry.duration) <= ROUNDING_SECONDS:
        return True
    problems.error(
        index, number, "duration", f"the recording lasts {seconds:.2f} s, found {entry.duration:g}; correct it"
    )
    return False


def _as_json(words: Sequence[Word]) -> str:
    """kyutai's reader needs the words sorted by their start."""
    entries = [
        [word.text, [word.start, word.end], MAIN if word.speaker == "A" else OTHER]
        for word in sorted(words, key=lambda word: word.start)
    ]
    return json.dumps({"alignments": entries}, ensure_ascii=False)


FORMAT = KyutaiJsonl()
