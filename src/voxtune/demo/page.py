"""The frame of a demo's page: one file, with everything inside."""

from __future__ import annotations

from pathlib import Path

from voxtune.files import write_text

STYLE = """
:root { --ink: #1d2433; --dim: #667085; --line: #e4e7ec; --before: #d97757; --after: #2f7d6d; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); max-width: 1000px; margin: 2.5rem auto;
  padding: 0 1rem }
h1 { font-size: 1.5rem; margin: 0 } h2 { font-size: 1.1rem; margin: 2.5rem 0 .5rem }
p, .dim { color: var(--dim) } .charts { display: flex; gap: 2rem; flex-wrap: wrap } svg { max-width: 100% }
table { border-collapse: collapse; width: 100% } td, th { text-align: left; padding: .45rem .6rem; vertical-align: top }
tr { border-bottom: 1px solid var(--line) } th { font-weight: 600; color: var(--dim); font-size: .85rem }
audio { width: 210px; height: 32px } .number { text-align: right; font-variant-numeric: tabular-nums }
del { color: #b42318; background: #fef3f2; text-decoration: line-through }
ins { color: #175cd3; background: #eff8ff; text-decoration: none }
"""


def write_page(path: Path, sections: list[str]) -> None:
    """Write sections of HTML as a page."""
    head = f"<!doctype html><html lang=en><meta charset=utf-8><title>voxtune demo</title><style>{STYLE}</style>"
    write_text(path, head + "\n".join(sections) + "</html>\n")
