"""Layouts of two folders whose files belong together by name: sound and words, codes and text."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

from voxtune.data.formats.lines import Problems
from voxtune.errors import DataError


def folder_pairs(
    folders: Sequence[Path],
    names: tuple[str, str],
    contents: tuple[str, str],
    holds: Callable[[Path], Collection[str]],
) -> list[tuple[Path, Path]]:
    """The pairs that folders name: a folder has both of `names` as subfolders, or holds the files of both, or is one of
    two. contents: what the files of each hold, in words; holds: whose files a folder has.

    Raises DataError naming a folder without files, or without its partner.
    """
    pairs: list[tuple[Path, Path]] = []
    halves: dict[str, list[Path]] = {name: [] for name in names}
    for folder in folders:
        if not folder.is_dir():
            raise DataError(f"{folder}: no folder; give the folder that has {names[0]} and {names[1]} in it")
        if all((folder / name).is_dir() for name in names):
            pairs.append((folder / names[0], folder / names[1]))
            continue
        held = holds(folder)
        if not held:
            raise DataError(f"{folder}: holds neither {contents[0]} nor {contents[1]}; give another folder")
        if len(held) == 2:
            pairs.append((folder, folder))
        else:
            halves[next(iter(held))].append(folder)
    first, second = (halves[name] for name in names)
    if len(first) != len(second):
        (have, lack), odd = (contents, first) if len(first) > len(second) else (contents[::-1], second)
        raise DataError(f"{odd[-1]}: holds {have} but no {lack}; add them, or give the folder of them together with it")
    return pairs + list(zip(first, second, strict=True))


def files_of(folder: Path, endings: Collection[str]) -> dict[str, Path]:
    """The files of a folder with one of the endings by name without it, sorted; hidden files are none.

    Raises DataError when two differ in their ending only.
    """
    found: dict[str, Path] = {}
    for file in sorted(folder.iterdir()):
        if file.suffix.lower() in endings and not file.name.startswith("."):
            other = found.setdefault(file.stem, file)
            if other is not file:
                raise DataError(f"{file}: {other.name} is there too; remove one of them")
    return dict(sorted(found.items()))


def partners(
    first: dict[str, Path], second: dict[str, Path], folders: tuple[Path, Path], endings: tuple[str, str],
    problems: Problems,
) -> Iterator[tuple[str, Path, Path]]:  # fmt: skip
    """Name, first and second file of those that have a partner; the others go to `problems`."""
    for name in sorted(first.keys() | second.keys()):
        if name in first and name in second:
            yield name, first[name], second[name]
            continue
        alone, folder, ending = (
            (first[name], folders[1], endings[1]) if name in first else (second[name], folders[0], endings[0])
        )
        message = f"no {name}{ending} in {folder}; add it, or remove {alone.name}"
        problems.error(alone, 1, "partner", message)
