"""What the pages say works: commands parse, recipes and data are read, links lead somewhere."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from omegaconf import OmegaConf

from tests.docs.markdown import LINK, PAGES, ROOT, Block, Command, anchors, blocks, commands, prose
from voxtune.cli.main import app
from voxtune.data.formats.lines import Problems
from voxtune.data.manifest import collect_samples
from voxtune.errors import RecipeError
from voxtune.recipe import load_recipe
from voxtune.recipes import read_recipe_text, recipe_names

SHIPPED = sorted((ROOT / "recipes").rglob("*.yaml"))
EXCERPT = re.compile(r"# excerpt(?: of (\S+))?\n")
ROOMS_OF_MODULES = ("benchmarks",)


def voxtune_command(words: list[str]) -> None:
    """Parse as the real command does, without running anything."""
    group = typer.main.get_command(app)
    context = group.make_context("voxtune", words)
    name, command, rest = group.resolve_command(context, words)
    parameters = command.make_context(name, rest, parent=context).params
    if "overrides" in parameters:
        fits_a_recipe(parameters["overrides"])
    if name == "check":
        fits_a_recipe([target for target in parameters["target"] if "=" in target])
    if name == "new":
        assert parameters["name"] in recipe_names()


def fits_a_recipe(overrides: list[str]) -> None:
    """Some recipe that ships takes them."""
    errors = []
    for path in SHIPPED:
        try:
            load_recipe(path, overrides)
            return
        except RecipeError as error:
            errors.append(str(error))
    raise AssertionError(errors)


def make_command(words: list[str]) -> None:
    targets = re.findall(r"^(\w[\w-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert words
    assert set(words) <= set(targets)


def pytest_command(words: list[str]) -> None:
    paths = [word for word in words if word.startswith("tests")]
    assert paths
    assert [path for path in paths if not list((ROOT / path).rglob("test_*.py")) and not (ROOT / path).is_file()] == []


def python_command(words: list[str]) -> None:
    if words[0] == "-m":
        room, *rest = words[1].split(".")
        assert room in ROOMS_OF_MODULES
        assert (ROOT / room).joinpath(*rest).with_suffix(".py").is_file()
    else:
        assert (ROOT / words[0]).is_file()


def torchrun_command(words: list[str]) -> None:
    module = words.index("-m")
    assert words[module + 1] == "voxtune"
    voxtune_command(words[module + 2 :])


def pip_command(words: list[str]) -> None:
    assert words[0] == "install"


def any_command(words: list[str]) -> None:
    assert words


PROGRAMS: dict[str, Callable[[list[str]], None]] = {
    "voxtune": voxtune_command,
    "make": make_command,
    "pytest": pytest_command,
    "python": python_command,
    "torchrun": torchrun_command,
    "pip": pip_command,
    "tail": any_command,
    "tensorboard": any_command,
}


@pytest.mark.parametrize("command", commands(), ids=str)
def test_command(command: Command) -> None:
    PROGRAMS[command.words[0]](command.words[1:])


def test_parsing_finds_what_is_wrong() -> None:
    with pytest.raises(Exception, match="nope"):
        voxtune_command(["train", "my.yaml", "--nope"])
    with pytest.raises(Exception, match="learning_rate"):
        voxtune_command(["train", "my.yaml", "train.learning_rat=1"])
    with pytest.raises(AssertionError):
        pytest_command(["tests/absent"])


@pytest.mark.parametrize("block", blocks("yaml"), ids=str)
def test_recipe(block: Block, tmp_path: Path) -> None:
    """An excerpt is put over the recipe that it names, or over the first one; anything else must be whole."""
    recipe = tmp_path / "my.yaml"
    text = block.text
    if excerpt := EXCERPT.match(text):
        base = read_recipe_text(excerpt[1] or "fun_asr_nano/asr")
        whole = OmegaConf.merge(OmegaConf.create(base), OmegaConf.create(text))
        text = OmegaConf.to_yaml(whole)
    recipe.write_text(text, encoding="utf-8")
    load_recipe(recipe)


@pytest.mark.parametrize("block", blocks("jsonl") + blocks("csv"), ids=str)
def test_data(block: Block, tmp_path: Path) -> None:
    file = tmp_path / f"data.{block.language}"
    file.write_text(block.text, encoding="utf-8")
    problems = Problems()
    samples = collect_samples(file, None, problems)
    assert problems == Problems()
    assert len(samples) == len(block.text.splitlines()) - (block.language == "csv")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links(page: Path) -> None:
    targets = [target for target in LINK.findall(prose(page)) if not target.startswith("http")]
    for target in targets:
        file, _, anchor = target.partition("#")
        path = page.parent / file if file else page
        assert path.exists(), f"{target}: no such file"
        assert not anchor or anchor in anchors(path), f"{target}: no such heading"


def test_every_page_can_be_reached_from_the_readme() -> None:
    found: set[Path] = set()
    waiting = [PAGES[0]]
    while waiting:
        page = waiting.pop()
        found.add(page)
        linked = [(page.parent / target.partition("#")[0]).resolve() for target in LINK.findall(prose(page))]
        waiting += [path for path in linked if path in PAGES and path not in found]
    assert set(PAGES) == found
