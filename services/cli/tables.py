"""Tables for people: as wide as the terminal at most, and unfolded in a file or a pipe."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

_ROWS_DRAWN = 1_000
"""More are only aligned: rich takes a minute for 100,000."""
_GAP = 3
_SHORT = 24
"""A moment, a figure with its interval, an id: not folded."""
_NARROWEST = 12
"""Of a column of sentences or titles."""


def print_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    right: Sequence[str] = (),
    spare: Sequence[str] = (),
) -> None:
    """Print a plain table; what does not fit into a terminal's line is one line for each value.

    Args:
        columns: Their titles.
        rows: Of values, which may be styled texts.
        right: Titles of the columns that hold numbers.
        spare: Titles of columns that are left out, in this order, before anything is folded.
    """
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        if len(rows) > _ROWS_DRAWN:
            _print_aligned(columns, rows, right)
            return
        console.width = 10_000  # nothing is folded
    cells = [[_text(cell) for cell in row] for row in rows]
    fitted = _fitted(columns, cells, spare, console.width)
    if fitted is None:
        _print_records(console, columns, cells)
        return
    console.print(fitted.table(columns, right))
    left_out = [title for at, title in enumerate(columns) if at not in fitted.widths]
    if left_out and rows:
        hint = f"left out: {', '.join(left_out)}; a wider window or --json shows them"
        console.print(hint, style="dim")


@dataclass(frozen=True)
class _Fitted:
    """A table that fits: its cells, how wide each column that is left is, and what is between."""

    cells: Sequence[Sequence["Text"]]
    widths: dict[int, int]
    gap: int

    def table(self, columns: Sequence[str], right: Sequence[str]) -> "Table":
        from rich.box import SIMPLE_HEAD
        from rich.table import Table

        padding = (0, 1) if self.gap == _GAP else (0, 1, 0, 0)
        table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=padding)
        for at, width in self.widths.items():
            is_number = columns[at] in right
            table.add_column(
                columns[at],
                justify="right" if is_number else "left",
                overflow="fold",
                width=width,
            )
        for row in self.cells:
            table.add_row(*(row[at] for at in self.widths))
        return table


def _fitted(
    columns: Sequence[str], cells: Sequence[Sequence["Text"]], spare: Sequence[str], width: int
) -> _Fitted | None:
    """Fit a table in: closer together, without what is spare, with intervals on two lines."""
    kept = list(range(len(columns)))
    for title in spare:
        if _total(_natural(columns, cells, kept), _GAP - 1) <= width:
            break
        kept.remove(columns.index(title))
    for shown in (cells, [[_on_two_lines(cell) for cell in row] for row in cells]):
        for gap in (_GAP, _GAP - 1):
            widths = _widths(columns, shown, kept, width, gap)
            if widths is not None:
                return _Fitted(shown, dict(zip(kept, widths, strict=True)), gap)
    return None


def _on_two_lines(cell: "Text") -> "Text":
    """Return a figure with its interval beneath it."""
    from rich.text import Text

    return Text(cell.plain.replace(" [", "\n["), style=cell.style) if " [" in cell.plain else cell


def _text(cell: object) -> "Text":
    from rich.text import Text

    # Text, because titles may hold what rich takes for markup.
    return cell if isinstance(cell, Text) else Text("" if cell is None else str(cell))


def _natural(
    columns: Sequence[str], cells: Sequence[Sequence["Text"]], kept: Sequence[int]
) -> list[int]:
    from rich.cells import cell_len

    return [
        max(cell_len(line) for text in (columns[at], *(r[at].plain for r in cells))
            for line in text.split("\n"))
        for at in kept
    ]  # fmt: skip


def _total(widths: Sequence[int], gap: int) -> int:
    return sum(widths) + gap * (len(widths) - 1)


def _widths(
    columns: Sequence[str],
    cells: Sequence[Sequence["Text"]],
    kept: Sequence[int],
    width: int,
    gap: int,
) -> list[int] | None:
    """Return how wide each column is: those of words give way, the widest first.

    Returns:
        None if they cannot share a line.
    """
    widths = _natural(columns, cells, kept)
    least = [
        min(natural, max(_longest_word(columns[at]), _least(cells, at)))
        for at, natural in zip(kept, widths, strict=True)
    ]
    if _total(least, gap) > width:
        return None
    while _total(widths, gap) > width:
        give = max(range(len(widths)), key=lambda i: (widths[i] > least[i], widths[i]))
        widths[give] -= 1
    return widths


def _least(cells: Sequence[Sequence["Text"]], at: int) -> int:
    """Return what a column needs: what is short stays whole, sentences and titles are folded."""
    from rich.cells import cell_len

    lines = [line for row in cells for line in row[at].plain.split("\n")]
    longest = max(map(cell_len, lines), default=0)
    if longest <= _SHORT or not any(" " in line for line in lines):
        return longest
    return min(max(map(_longest_word, lines)), _NARROWEST)


def _longest_word(text: str) -> int:
    from rich.cells import cell_len

    return max((cell_len(word) for word in text.split()), default=0)


def print_pairs(pairs: Sequence[tuple[str, object]]) -> None:
    """Print names and what they stand for, each on a line unless that is too long for one."""
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 10_000
    lines = Table.grid(padding=(0, 2))
    lines.add_column(style="bold", no_wrap=True)
    lines.add_column(overflow="fold")
    for name, value in pairs:
        lines.add_row(name, _text(value))
    console.print(lines)


def _print_records(
    console: "Console", columns: Sequence[str], cells: Sequence[Sequence["Text"]]
) -> None:
    for number, row in enumerate(cells):
        if number:
            console.print()
        print_pairs([(t, cell) for t, cell in zip(columns, row, strict=True) if cell.plain])


def _print_aligned(
    columns: Sequence[str], rows: Sequence[Sequence[object]], right: Sequence[str]
) -> None:
    """Print what rich would print of many rows into a file or a pipe."""
    from rich.cells import cell_len
    from rich.control import strip_control_codes

    def lines_of(cell: object) -> list[str]:
        return [] if cell is None else strip_control_codes(str(cell)).expandtabs().split("\n")

    table = [[[column] for column in columns], *([lines_of(c) for c in row] for row in rows)]
    widths = [
        max(cell_len(text) for row in table for text in row[at]) for at in range(len(columns))
    ]
    for number, row in enumerate(table):
        for texts in zip_longest(*row, fillvalue=""):
            cells = []
            for column, width, text in zip(columns, widths, texts, strict=True):
                space = " " * (width - cell_len(text))
                cells.append(space + text if column in right else text + space)
            typer.echo("   ".join(cells))
        if number == 0:
            typer.echo("─" * (sum(widths) + 3 * (len(widths) - 1)))
