"""Numbers in messages for people, and cells of tables that spreadsheets open."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Protocol

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""How a cell begins that a spreadsheet takes for a formula, and may run: with full-width signs too,
where it is set to a language that types those."""


def counted(number: int, thing: str) -> str:
    """Return ``1 video``, ``0 videos``, ``1,200 videos``: a number and what is counted.

    Args:
        number: How many.
        thing: One of them, in a word whose plural ends in s.
    """
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def neutral_cell(text: str) -> str:
    """Return a text for a cell that no spreadsheet runs: with an apostrophe where one might."""
    return "'" + text if text.lstrip("'").startswith(_FORMULA) else text


def from_neutral_cell(cell: str) -> str:
    """Return what ``neutral_cell`` was given."""
    is_neutral = cell.startswith("'") and cell.lstrip("'").startswith(_FORMULA)
    return cell[1:] if is_neutral else cell


class Written(Protocol):
    """What text can be written to."""

    def write(self, text: str, /) -> object:
        """Append a text."""


class CsvLines:
    """Where a ``csv.writer`` writes lines that end in a line feed; a bare CR in a cell is quoted.

    The writer quotes what its line terminator holds, and a reader takes either for an end.
    """

    def __init__(self, file: Written) -> None:
        self._file = file

    def write(self, line: str) -> None:
        """Write a line of a writer whose lines end in CR LF, as they do by default."""
        self._file.write(line.removesuffix("\r\n") + "\n")


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table as CSV; what a spreadsheet would take for a formula is made harmless."""
    file = io.StringIO()
    writer = csv.writer(CsvLines(file))
    for row in (columns, *rows):
        writer.writerow([neutral_cell(cell) if isinstance(cell, str) else cell for cell in row])
    return file.getvalue()
