"""Tables within pages, between two marks, written by what measured them."""

from collections.abc import Sequence
from pathlib import Path


def write_between(page: Path, name: str, lines: Sequence[str]) -> None:
    """Replace what stands between a page's marks of a name.

    Raises:
        ValueError: The page has no such marks.
    """
    begin, end = _marks(name)
    before, after = _around(page, name)
    page.write_text(before + "\n".join((begin, *lines, end)) + after, "utf-8")


def read_between(page: Path, name: str) -> list[str]:
    """Return the lines between a page's marks of a name.

    Raises:
        ValueError: The page has no such marks.
    """
    before, after = _around(page, name)
    content = page.read_text("utf-8")
    within = content[len(before) : len(content) - len(after)]
    return within.splitlines()[1:-1]


def _marks(name: str) -> tuple[str, str]:
    return f"<!-- {name}: begin -->", f"<!-- {name}: end -->"


def _around(page: Path, name: str) -> tuple[str, str]:
    begin, end = _marks(name)
    before, found, rest = page.read_text("utf-8").partition(begin)
    _, ended, after = rest.partition(end)
    if not found or not ended:
        raise ValueError(f"{page} lacks the marks {begin} and {end}")
    return before, after


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a table's lines in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]
