"""Which family a checkpoint belongs to."""

from __future__ import annotations

from pathlib import Path

from voxtune.errors import CheckpointError
from voxtune.families import find, names
from voxtune.families.family import Family
from voxtune.families.source import TINY, resolve

CONFIGURATIONS = ("*.yaml", "*.json")
"""Small files of a hub model that tell its family."""


def recognise(source: str, verb: str | None) -> Family:
    """The family of a folder or of a hub id; of "tiny" the one with that verb (None = any).

    Raises CheckpointError when there is no such source, or when not exactly one family knows it.
    """
    families = [find(name) for name in names()]
    if source == TINY:
        found = [family for family in families if verb is None or verb in family.verbs]
    else:
        folder = resolve(source, Path(TINY), CONFIGURATIONS)
        found = [family for family in families if family.recognises(folder)]
    if len(found) == 1:
        return found[0]
    if found:
        raise CheckpointError(f"{source!r} could be of {', '.join(family.name for family in found)}; give a folder")
    raise CheckpointError(
        f"{source}: no model that is known here ({', '.join(names())}). Give the folder of a run, of an export, or a "
        "published one, with its configuration"
    )
