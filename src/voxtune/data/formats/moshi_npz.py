"""nu-dialogue's token files: tokenized_audio/NAME.npz (codes of A and B) and tokenized_text/NAME.npz (their text)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from voxtune.data.encoded import AUDIO_FOLDER, FRAMES_PER_SECOND, TEXT_FOLDER, write_encoded_npz
from voxtune.data.formats.folder_pairs import files_of, folder_pairs, partners
from voxtune.data.formats.format import Format, TokenCounter
from voxtune.data.formats.lines import Problems
from voxtune.data.formats.stereo import file_names
from voxtune.data.formats.tokens import check_encoded, encoded_rows
from voxtune.data.npz import npz_shape
from voxtune.data.sample import Dialogue, Encoded, Sample
from voxtune.errors import DataError

FOLDERS = (AUDIO_FOLDER, TEXT_FOLDER)
CONTENTS = ("codes (NAME.npz)", "text tokens (NAME.npz)")
ENDINGS = (".npz",)


class MoshiNpz(Format):
    """Reader and writer of two folders of npz files."""

    name = "moshi_npz"
    summary = "two folders, tokenized_audio and tokenized_text, of NAME.npz with the arrays A and B"
    suffixes = ()

    def recognises(self, file: Path, head: str) -> bool:
        return False

    def recognises_path(self, path: Path) -> bool:
        return path.is_dir() and (all((path / name).is_dir() for name in FOLDERS) or bool(files_of(path, ENDINGS)))

    def read(self, files: Sequence[Path], problems: Problems) -> list[Sample]:
        samples = []
        for audio, text in folder_pairs(files, FOLDERS, CONTENTS, _holds):
            codes, texts = files_of(audio, ENDINGS), files_of(text, ENDINGS)
            for name, code_file, text_file in partners(codes, texts, (audio, text), (".npz", ".npz"), problems):
                try:
                    frames = _frames(code_file, text_file)
                except DataError as error:
                    problems.error(code_file, 1, "tokens", str(error))
                    continue
                encoded = Encoded(
                    path=str(code_file.absolute()),
                    text=str(text_file.absolute()),
                    frames=frames,
                    seconds=frames / FRAMES_PER_SECOND,
                )
                samples.append(Sample(key=name, dialogue=Dialogue(encoded=encoded)).at(code_file, 1))
        return samples

    def write(self, samples: Sequence[Sample], path: Path, count_tokens: TokenCounter | None) -> list[Path]:
        check_encoded(samples)
        return write_encoded_npz(path, encoded_rows(samples, file_names(samples)))


def _holds(folder: Path) -> list[str]:
    """Whose files a folder has, by its name, or the shape in the first file that can be read."""
    files = list(files_of(folder, ENDINGS).values())
    if files and folder.name in FOLDERS:
        return [folder.name]
    for file in files:
        try:
            return [AUDIO_FOLDER if len(npz_shape(file, "A")) == 2 else TEXT_FOLDER]
        except DataError:
            continue
    return []


def _frames(codes: Path, text: Path) -> int:
    """The frames of a pair of files, by their headers. Raises DataError when shapes do not fit."""
    a, b = npz_shape(codes, "A"), npz_shape(codes, "B")
    for name, shape in (("A", a), ("B", b)):
        if len(shape) != 2:
            raise DataError(f"{codes}: {name}: an array of shape {list(shape)}; codes are [codebooks, frames]")
        if 0 in shape:
            raise DataError(f"{codes}: {name}: no codes, its shape is {list(shape)}; remove the file or make it again")
        if len(length := npz_shape(text, name)) != 1:
            raise DataError(f"{text}: {name}: an array of shape {list(length)}; text is [frames]")
    if a != b:
        raise DataError(f"{codes}: A has the shape {list(a)} and B {list(b)}; they are heard at once, make it again")
    return a[1]


FORMAT = MoshiNpz()
