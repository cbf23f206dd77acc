"""The dialogues to go on with, however they are given: stereo recordings, folders of them, data files."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from voxtune.data.formats.folder_pairs import files_of
from voxtune.data.formats.lines import Problems
from voxtune.data.formats.moshi_folder import RECORDINGS, WORDS, read_words
from voxtune.data.manifest import collect_samples
from voxtune.data.remote import is_url
from voxtune.data.sample import AudioPart, Dialogue, Sample
from voxtune.errors import DataError


def read_dialogues(sources: Sequence[str], format: str | None, problems: Problems) -> list[Sample]:
    """Samples of stereo recordings, folders and data files of any layout, in order.

    The words of a recording NAME.wav are read from NAME.json beside it, where that is. What is wrong with single
    dialogues goes to `problems`. Raises DataError when a whole source cannot be read, or when there are none.
    """
    samples: list[Sample] = []
    given = [part for source in sources for part in ([source] if format is not None else _recordings_in(source))]
    for recordings, group in groupby(given, lambda source: format is None and _is_recording(source)):
        if recordings:
            samples += [found for source in group if (found := _recorded(source, problems)) is not None]
        else:
            samples += collect_samples([Path(source) for source in group], format, problems)
    if not samples and not problems.errors:
        raise DataError(f"{', '.join(sources)}: no dialogues in it; give stereo recordings, or data files")
    return samples


def played_by(sample: Sample, speaker: Literal["A", "B"]) -> Sample:
    """The dialogue with another speaker as the one that the model plays."""
    if sample.dialogue is None:
        return sample
    played = sample.model_copy(update={"dialogue": sample.dialogue.model_copy(update={"main": speaker})})
    return played if sample.place is None else played.at(sample.place.file, sample.place.line)


def read_tokens(file: Path) -> Tensor:
    """Tokens of a dialogue without delays, int64 [streams, frames], from an npy file.

    Nothing in it is unpickled. Raises DataError naming the file when it cannot be read or holds something else.
    """
    try:
        array = np.load(file, allow_pickle=False)
    except FileNotFoundError as error:
        raise DataError(f"{file}: no such file; correct the path") from error
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{file}: damaged, or no npy file of numbers ({error}); make it again") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "iu" or array.ndim != 2:
        kind = f"{array.dtype} {list(array.shape)}" if isinstance(array, np.ndarray) else "an archive"
        raise DataError(f"{file}: holds {kind}; tokens are integers [streams, frames]")
    return torch.from_numpy(array.astype(np.int64))


def _recordings_in(source: str) -> list[str]:
    """A folder that holds nothing but recordings as those, anything else as it is."""
    folder = Path(source)
    if is_url(source) or not folder.is_dir() or files_of(folder, WORDS):
        return [source]
    return [str(file) for file in files_of(folder, RECORDINGS).values()] or [source]


def _is_recording(source: str) -> bool:
    return is_url(source) or source.lower().endswith(RECORDINGS)


def _recorded(source: str, problems: Problems) -> Sample | None:
    """A recording with the words beside it; None when something is wrong with those."""
    path = Path(source)
    beside = path.with_suffix(WORDS[0])
    words = read_words(beside, problems) if not is_url(source) and beside.is_file() else []
    if words is None:
        return None
    return Sample(key=path.stem, dialogue=Dialogue(audio=[AudioPart(path=source)], words=words))
