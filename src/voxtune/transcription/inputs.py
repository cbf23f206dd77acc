"""What is to be transcribed, however it is given: audio files, URLs, data files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from voxtune.data.formats.lines import Problems
from voxtune.data.formats.wav_scp import read_recordings
from voxtune.data.manifest import collect_samples
from voxtune.data.remote import is_url
from voxtune.data.sample import AudioPart, Sample, transcription

MANIFESTS = (".jsonl", ".json", ".csv", ".tsv", ".txt")
RECORDINGS = ".scp"


def read_inputs(sources: Sequence[str], format: str | None, problems: Problems) -> list[Sample]:
    """Samples of audio files, URLs and data files (told by their endings, or `format`), in order.

    What is wrong with single lines goes to `problems`. Raises DataError when a whole data file cannot be read.
    """
    keys = file_keys([source for source in sources if not _is_manifest(source, format)])
    samples: list[Sample] = []
    for source in sources:
        if source in keys:
            samples.append(transcription(keys[source], AudioPart(path=source)))
        elif source.endswith(RECORDINGS) and format is None:
            samples += read_recordings(Path(source), problems)
        else:
            samples += collect_samples(Path(source), format, problems)
    return samples


def file_keys(paths: Sequence[str]) -> dict[str, str]:
    """A key for each audio file: its name without ending, or its whole path where names repeat."""
    names = {path: Path(path).stem for path in paths}
    often = Counter(names.values())
    return {path: name if often[name] == 1 else path for path, name in names.items()}


def _is_manifest(source: str, format: str | None) -> bool:
    return format is not None or (not is_url(source) and source.lower().endswith((*MANIFESTS, RECORDINGS)))
