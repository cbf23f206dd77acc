"""Trees and tables of the pages against the code that they describe."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from types import UnionType
from typing import Any, get_args

import pytest
import typer
import yaml
from pydantic import BaseModel
from rich.console import Console

from tests.docs.markdown import README, ROOT, rows, section
from voxtune.cli.main import app
from voxtune.data.formats import formats
from voxtune.data.sample import Sample
from voxtune.families import find, names
from voxtune.recipe import ModelSection, Recipe
from voxtune.training.checkpoints import Progress
from voxtune.training.monitor import Monitor, read_log
from voxtune.training.run_folder import MAY_CHANGE
from voxtune.training.step import Step

DOCS = ROOT / "docs"
PACKAGE = "src/voxtune"


def tree() -> list[Path]:
    """Files and folders of the annotated tree, relative to the package."""
    lines = re.search(rf"```text\n{PACKAGE}/\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)[1].splitlines()
    folders: list[str] = []
    found = []
    for line in lines:
        name, why = line.split(maxsplit=1)
        assert why, f"{name}: says nothing about itself"
        depth = (len(line) - len(line.lstrip())) // 2 - 1
        folders[depth:] = [name]
        found.append(Path(*folders))
        assert name.endswith("/") == (ROOT / PACKAGE / found[-1]).is_dir(), name
    return found


def test_everything_in_the_tree_exists() -> None:
    assert [path for path in tree() if not (ROOT / PACKAGE / path).exists()] == []
    assert len(tree()) == len(set(tree()))


def test_every_module_and_recipe_is_in_the_tree() -> None:
    root = ROOT / PACKAGE
    modules = [path for path in root.rglob("*.py") if path.name != "__init__.py"]
    packages = [path.parent for path in root.rglob("__init__.py") if path.parent != root]
    recipes = list((root / "recipes").rglob("*.yaml"))
    there = {path.relative_to(root) for path in [*modules, *packages, *recipes]}
    assert there - set(tree()) == set()


def recipe_keys() -> dict[str, Any]:
    """Every key of a recipe with its default as YAML would write it; "required" where it has none."""
    keys: dict[str, Any] = {}

    def walk(section: type[BaseModel], prefix: str) -> None:
        for name, field in section.model_fields.items():
            if section is ModelSection and name == "options":
                continue
            inner = _section(field.annotation)
            if inner is not None and isinstance(field.annotation, type):
                walk(inner, f"{prefix}{name}.")
                continue
            keys[prefix + name] = "required" if field.is_required() else field.get_default(call_default_factory=True)
            if inner is not None and name == "train":  # data.validation holds the same kind of source
                walk(inner, f"{prefix}{name}[].")

    walk(Recipe, "")
    for family in names():
        walk(find(family).options, "model.")
    return keys


def _section(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inner = [_section(argument) for argument in get_args(annotation) if not isinstance(annotation, UnionType)]
    return next((found for found in inner if found), None)


def test_the_key_table_is_the_recipe() -> None:
    told = [(row[0].strip("`"), row[1].strip("`")) for row in rows(DOCS / "concepts/recipes.md", "## Every key")]
    keys = {key: list(value) if isinstance(value, tuple) else value for key, value in recipe_keys().items()}
    assert {key: yaml.safe_load(value) for key, value in told} == keys
    assert len(told) == len(keys)


def test_the_families_are_those_installed() -> None:
    assert [row[0].strip("`") for row in rows(README, "## Families")] == names()


def test_the_layouts_are_those_that_are_read() -> None:
    table = {row[0].strip("`"): row[2] for row in rows(DOCS / "concepts/data.md", "## Layouts")}
    endings = {
        name: ", ".join(f"`{s}`" for s in layout.suffixes) or "`--to` only" for name, layout in formats().items()
    }
    assert table == endings


def test_the_fields_of_a_sample_are_all_told() -> None:
    told = ", ".join(row[0] for row in rows(DOCS / "concepts/data.md", "## Sample")).replace("`", "").split(", ")
    assert told == list(Sample.model_fields)


@pytest.mark.parametrize(
    ("verb", "page", "heading"),
    [("transcribe", "inference", "# Inference"), ("converse", "dialogue", "# Dialogues that go on")],
)
def test_the_options_are_all_told(verb: str, page: str, heading: str) -> None:
    cells = " ".join(row[0] for row in rows(DOCS / f"concepts/{page}.md", heading))
    command = typer.main.get_command(app).commands[verb]
    options = {
        option
        for parameter in command.params
        if parameter.param_type_name == "option"
        for option in [*parameter.opts, *parameter.secondary_opts]
    }
    assert set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", cells)) == options


def test_the_advice_by_hours_is_the_familys() -> None:
    table = rows(DOCS / "families/fun_asr_nano.md", "## Which parts to train")
    told = {row[0]: re.findall("`(.+?)`", row[1]) for row in table}
    family = find("fun_asr_nano")
    assert told == {
        "0 to 1000": family.parts_for(999, "full"),
        "1000 to 10000": family.parts_for(1000, "full"),
        "above 10000": family.parts_for(10_001, "full"),
    }
    assert family.parts_for(10_000, "full") == told["1000 to 10000"]


def test_the_keys_of_the_log_are_those_written(tmp_path: Path) -> None:
    step = Step(
        number=1,
        loss=1.0,
        streams={"text": 0.5, "ctc": 0.5},
        gradient_norm=1.0,
        learning_rate=1e-4,
        tokens=10,
        audio_seconds=1.0,
        applied=True,
        overflow=False,
        stop=False,
        padding_share=0.0,
    )
    with Monitor(tmp_path, 1, 0, [], Console(quiet=True), is_main=True) as monitor:
        monitor.step(step)
        monitor.evaluation(Progress(step=1, metrics={"loss": 1.0, "text": 0.5, "ctc": 0.5, "error_rate": 0.1}))
    of_step, of_evaluation = read_log(tmp_path)
    page = DOCS / "concepts/training.md"
    table = ", ".join(row[0] for row in rows(page, "## The folder of a run")).replace("`", "").split(", ")
    streams = [f"loss_{stream}" for stream in step.streams]
    assert [key for told in table for key in (streams if told == "loss_<stream>" else [told])] == list(of_step)
    prose = section(page, "## The folder of a run")
    told = re.findall("`([^`]+)`", prose[prose.index("Keys of an evaluation") :])
    streams = [f"validation_{stream}" for stream in step.streams]
    expected = [key for name in told[:5] for key in (streams if name == "validation_<stream>" else [name])]
    assert expected == list(of_evaluation)


def test_the_keys_that_may_change_are_those_of_the_code() -> None:
    text = section(DOCS / "concepts/training.md", "## Stopping and continuing")
    told = re.findall(r"`([\w.]+)`", text[text.index("These keys may change") : text.index("Any other change")])
    assert tuple(told) == MAY_CHANGE


@pytest.mark.parametrize("path", sorted((ROOT / "docs").glob("*.py")), ids=lambda path: path.name)
def test_scripts_of_the_docs_can_be_imported(path: Path) -> None:
    importlib.import_module(f"docs.{path.stem}")
