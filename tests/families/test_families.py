"""Families are found by scanning, and by entry points."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint, EntryPoints

import pytest

import voxtune.families
from voxtune.errors import RecipeError
from voxtune.families import find, names
from voxtune.families.family import Family


def test_every_folder_is_a_family() -> None:
    assert "fun_asr_nano" in names()
    for name in names():
        family = find(name)
        assert isinstance(family, Family)
        assert family.name == name
        assert family.lora.part in family.parts


def test_entry_points(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = EntryPoint("elsewhere", "voxtune.families.fun_asr_nano:FAMILY", voxtune.families.ENTRY_POINTS)

    def installed(*, group: str, **wanted: str) -> EntryPoints:
        return EntryPoints([entry]).select(group=group, **wanted)

    monkeypatch.setattr(voxtune.families, "entry_points", installed)
    assert "elsewhere" in names()
    assert find("elsewhere") is find("fun_asr_nano")
    with pytest.raises(RecipeError, match="did you mean elsewhere"):
        find("elsewere")


def test_unknown() -> None:
    with pytest.raises(RecipeError, match=r"'xyz'; there are .*fun_asr_nano"):
        find("xyz")


def test_finding_imports_no_language_model_library() -> None:
    code = "import sys, voxtune.families as f; f.find('fun_asr_nano'); assert 'transformers' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
