"""nu-dialogue's folders of dialogues: stereo NAME.wav (left A, right B) and the words of both in NAME.json."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from voxtune.data.formats.folder_pairs import files_of, folder_pairs, partners
from voxtune.data.formats.format import Format, TokenCounter
from voxtune.data.formats.json_file import read_json_file
from voxtune.data.formats.lines import Problems, expressed
from voxtune.data.formats.stereo import file_names, recorded_dialogue_of, write_stereo
from voxtune.data.sample import AudioPart, Dialogue, Sample, Word
from voxtune.errors import DataError
from voxtune.files import atomic_folder

FOLDERS = ("audio", "text")
CONTENTS = ("recordings", "words (NAME.json)")
RECORDINGS = (".wav", ".flac", ".mp3", ".ogg", ".opus")
WORDS = (".json",)


class MoshiWord(BaseModel):
    """An entry of a word list."""

    model_config = ConfigDict(extra="allow", strict=True)

    speaker: Literal["A", "B"]
    word: str
    start: float = Field(allow_inf_nan=False)
    end: float = Field(allow_inf_nan=False)


KNOWN = tuple(MoshiWord.model_fields)
WORD_LIST = TypeAdapter(list[MoshiWord])


class MoshiFolder(Format):
    """Reader and writer of recordings with word lists, in one folder or in `audio` and `text`."""

    name = "moshi"
    summary = "a folder of stereo NAME.wav (left A, right B) with NAME.json [{speaker, word, start, end}, …]"
    suffixes = ()

    def recognises(self, file: Path, head: str) -> bool:
        return False

    def recognises_path(self, path: Path) -> bool:
        return path.is_dir() and (all((path / name).is_dir() for name in FOLDERS) or bool(_holds(path)))

    def read(self, files: Sequence[Path], problems: Problems) -> list[Sample]:
        samples = []
        for audio, text in folder_pairs(files, FOLDERS, CONTENTS, _holds):
            recordings, lists = files_of(audio, RECORDINGS), files_of(text, WORDS)
            for name, recording, words in partners(recordings, lists, (audio, text), (".wav", ".json"), problems):
                found = read_words(words, problems)
                if found is not None:
                    dialogue = Dialogue(audio=[AudioPart(path=str(recording.absolute()))], words=found)
                    samples.append(Sample(key=name, dialogue=dialogue).at(words, 1))
        return samples

    def write(self, samples: Sequence[Sample], path: Path, count_tokens: TokenCounter | None) -> list[Path]:
        lists = expressed(samples, lambda sample: _as_json(recorded_dialogue_of(sample).words))
        names = file_names(samples)
        if path.is_dir() and any(path.iterdir()):
            raise DataError(f"{path}: a folder with files in it; give a new one")
        with atomic_folder(path.absolute()) as folder:
            for name, words, sample in zip(names, lists, samples, strict=True):
                write_stereo(sample, folder / f"{name}.wav")
                (folder / f"{name}.json").write_text(words, encoding="utf-8")
        return [path]


def _holds(folder: Path) -> list[str]:
    """Whose files a folder has."""
    return [name for name, endings in zip(FOLDERS, (RECORDINGS, WORDS), strict=True) if files_of(folder, endings)]


def read_words(file: Path, problems: Problems) -> list[Word] | None:
    """The words of a list in its order; None when something is wrong with it."""
    found = read_json_file(file, WORD_LIST, problems, _field)
    if found is None:
        return None
    problems.extra(file, 1, sorted({key for word in found for key in word.model_extra or ()}), KNOWN)
    return [Word(speaker=word.speaker, text=word.word, start=word.start, end=word.end) for word in found]


def _field(steps: Sequence[int | str]) -> str:
    """The name of a place in a list of words, such as `entry 3.speaker`."""
    first, *rest = steps
    return ".".join([f"entry {int(first) + 1}", *map(str, rest)])


def _as_json(words: Sequence[Word]) -> str:
    """One word a line."""
    entries = [{"speaker": w.speaker, "word": w.text, "start": w.start, "end": w.end} for w in words]
    return "[\n" + ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in entries) + "\n]\n"


FORMAT = MoshiFolder()
