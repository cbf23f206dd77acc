"""Kaldi's two lists: wav.scp (key and path or URL) and text (key and transcript), paired by key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from voxtune.data.formats.format import Format, TokenCounter
from voxtune.data.formats.lines import Problems, expressed, locator, numbered_lines, shown, write_lines, written_path
from voxtune.data.formats.plain import plain_values
from voxtune.data.sample import AudioPart, Sample, transcription
from voxtune.errors import DataError


class Entry(NamedTuple):
    """What a line says about its key."""

    file: Path
    line: int
    value: str


@dataclass
class KeyedList:
    """The lines of one or more files by key; `places` has also the keys whose line is wrong."""

    entries: dict[str, Entry] = field(default_factory=dict)
    places: dict[str, tuple[Path, int]] = field(default_factory=dict)


class WavScp(Format):
    """Reader and writer of wav.scp and text."""

    name = "wav_scp"
    summary = "wav.scp and text: `key path` and `key transcript`, paired by key"
    suffixes = (".scp",)

    def recognises(self, file: Path, head: str) -> bool:
        return file.suffix == ".scp" or (file.suffix in (".txt", "") and not head.startswith(("{", "[")))

    def read(self, files: Sequence[Path], problems: Problems) -> list[Sample]:
        lists = [file for file in files if file.suffix == ".scp"] or list(files[:1])
        texts = [file for file in files if file not in lists]
        if lists[0].suffix != ".scp" and not texts:
            raise DataError(
                f"{lists[0]}: a list of texts alone; give the list of recordings (name.scp) together with it"
            )
        recordings = _read_list(lists, "path", "write `key path`", problems)
        texts = texts or [text for file in lists for text in _texts_beside(file)]
        if not texts:
            return _samples(recordings, None, problems)
        transcripts = _read_list(texts, "text", "write `key transcript`, or remove the key from both lists", problems)
        _report_partners(recordings, transcripts, "transcript", texts, problems)
        _report_partners(transcripts, recordings, "recording", lists, problems)
        return _samples(recordings, transcripts, problems)

    def write(self, samples: Sequence[Sample], path: Path, count_tokens: TokenCounter | None) -> list[Path]:
        if path.suffix != ".scp":
            raise DataError(f"{path}: the list of recordings must end with .scp, such as train_wav.scp")
        text = text_beside(path)
        lines = [line.split("\n") for line in expressed(samples, lambda sample: _both_lines(sample, path))]
        write_lines(text, [transcript for _, transcript in lines])
        write_lines(path, [recording for recording, _ in lines])
        return [path, text]


def read_recordings(scp: Path, problems: Problems) -> list[Sample]:
    """The recordings of a wav.scp without transcripts, whether or not they lie beside it."""
    return _samples(_read_list([scp], "path", "write `key path`", problems), None, problems)


def text_beside(scp: Path) -> Path:
    """The name of the transcripts that belong to a list of recordings: train_text.txt for train_wav.scp."""
    stem = scp.stem
    return scp.with_name(f"{stem[: -len('wav')]}text.txt" if stem.endswith("wav") else f"{stem}_text.txt")


def _texts_beside(scp: Path) -> list[Path]:
    usual = text_beside(scp)
    there = [file for file in (usual, usual.with_suffix(""), scp.with_suffix(".txt")) if file.is_file()]
    if len(there) > 1:
        raise DataError(f"{scp}: transcripts in {there[0].name} or in {there[1].name}? Give both files, list and text")
    return there


def _read_list(files: Sequence[Path], name: str, what_to_do: str, problems: Problems) -> KeyedList:
    found = KeyedList()
    for file in files:
        for number, line in numbered_lines(file):
            key, *rest = line.split(maxsplit=1)
            if key in found.places:
                first, first_line = found.places[key]
                problems.error(
                    file, number, "key", f"each key once, found {key!r} again (first on {first.name}:{first_line}); "
                    "rename or remove it"
                )  # fmt: skip
                continue
            found.places[key] = file, number
            if not rest:
                problems.error(file, number, name, f"nothing after the key, found {shown(line)}; {what_to_do}")
            elif name == "path" and rest[0].endswith("|"):
                problems.error(
                    file, number, name, f"commands are not run, found {shown(rest[0])}; give a file or a URL"
                )
            else:
                found.entries[key] = Entry(file, number, rest[0])
    return found


def _report_partners(
    keyed: KeyedList, partners: KeyedList, what: str, partner_files: Sequence[Path], problems: Problems
) -> None:
    names = ", ".join(file.name for file in partner_files)
    for key, (file, line) in keyed.places.items():
        if key not in partners.places:
            problems.error(file, line, "key", f"no {what} in {names}, found {key!r}; add one, or remove this line")


def _samples(recordings: KeyedList, transcripts: KeyedList | None, problems: Problems) -> list[Sample]:
    samples = []
    locate = {file: locator(file, from_current_folder=True) for file in {e.file for e in recordings.entries.values()}}
    for key, (file, number, path) in recordings.entries.items():
        transcript = None if transcripts is None else transcripts.entries.get(key)
        if transcripts is not None and transcript is None:
            continue
        try:
            sample = transcription(key, AudioPart(path=locate[file](path)), transcript and transcript.value)
        except ValidationError as error:
            problems.invalid(file, number, error)
            continue
        samples.append(sample.at(file, number))
    return samples


def _both_lines(sample: Sample, scp: Path) -> str:
    values = plain_values(sample)
    extra = sorted(values.keys() - {"key", "audio", "text"})
    if extra:
        raise DataError(f"{', '.join(extra)} cannot be written in this layout; write plain_jsonl or voxtune_jsonl")
    key, path, text = sample.key, written_path(values["audio"], scp), values["text"].strip()
    if len(key.split()) != 1:
        raise DataError(f"the key {key!r} has a blank in it, which separates key and value here; rename it")
    if not text or len(f"{path}{text}".splitlines()) > 1:
        raise DataError(f"the text {text!r} is empty or has a line break, which ends a line here; correct it")
    return f"{key} {path}\n{key} {text}"


FORMAT = WavScp()
