"""The pages, and what is in them: fenced blocks, links, headings, tables."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
ROW = re.compile(r"^\|(.+)\|$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(language: str) -> list[Block]:
    """Fenced blocks of a language on all pages."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in FENCE.finditer(text):
            if match[1] == language:
                found.append(Block(page, text.count("\n", 0, match.start()) + 2, language, match[2]))
    return found


@dataclass(frozen=True)
class Command:
    """A shell command of a page, in words; assignments before it and comments are left out."""

    place: str
    words: list[str]

    def __str__(self) -> str:
        return f"{self.place} {' '.join(self.words)}"


def commands() -> list[Command]:
    """Commands of all bash blocks, and of the tables of numbers in the README (between single backticks)."""
    found = []
    for block in blocks("bash"):
        for number, line in enumerate(block.text.splitlines()):
            found.append(_command(f"{block.page.relative_to(ROOT)}:{block.line + number}", line))
    for row in rows(README, "## Numbers"):
        found += [_command("README.md, Numbers", text) for text in re.findall("`([^`]+)`", row[1])]
    return [command for command in found if command.words]


def _command(place: str, line: str) -> Command:
    words = shlex.split(line, comments=True)
    while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
        words = words[1:]
    return Command(place, words)


def section(page: Path, heading: str) -> str:
    """The text under a heading, up to the next one of its rank or above."""
    rank = heading.split(" ")[0]
    _, text = ("\n" + page.read_text(encoding="utf-8")).split(f"\n{heading}\n", 1)
    return re.split(rf"^#{{1,{len(rank)}}} ", text, maxsplit=1, flags=re.MULTILINE)[0]


def rows(page: Path, heading: str) -> list[list[str]]:
    """Cells of all table rows under a heading, without the heads of the tables."""
    cells = [[cell.strip() for cell in row.split("|")] for row in ROW.findall(section(page, heading))]
    rules = [number for number, row in enumerate(cells) if set("".join(row)) <= {"-"}]
    heads = {number for rule in rules for number in (rule - 1, rule)}
    return [row for number, row in enumerate(cells) if number not in heads]


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """The names by which a page's headings can be linked to."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
