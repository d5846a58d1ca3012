"""A CSV that lists files of its folder: its lines, the files they name, and what is wrong where."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NoReturn

from services.errors import UsageError


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the list.

    Attributes:
        path: The list.
        number: Counted from 1, the names of the columns included.
        cells: By column, without spaces around them.
    """

    path: Path
    number: int
    cells: Mapping[str, str]

    def __getitem__(self, column: str) -> str:
        return self.cells[column]

    def refuse(self, why: str) -> NoReturn:
        """Say what is wrong in this line.

        Raises:
            UsageError: Always, naming file and line.
        """
        raise UsageError(f"{self.path}, line {self.number}: {why}.")

    def file(self, column: str) -> Path:
        """Return the path that a column names, of something that lies in the list's folder.

        Raises:
            UsageError: The name is empty, absolute, leads out of the folder, itself or by a link,
                can be no name, or nothing has it.
        """
        text = self[column]
        if not _lies_in(self.path.parent, text):
            self.refuse(f"{column} {text!r} leaves the folder. Name a file inside it")
        file = self.path.parent / text
        if not _exists(file):
            self.refuse(f"{text} does not exist. Add it, or correct the row")
        return file.absolute()


def lines(path: Path, columns: Sequence[str]) -> Iterator[Line]:
    """Read a list; columns that are not asked for are left out.

    Args:
        path: The file: UTF-8, its first line names the columns.
        columns: Those that must be there.

    Raises:
        UsageError: If it is missing, unreadable or no such list: what and what to do, on one line.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            missing = [name for name in columns if name not in (reader.fieldnames or ())]
            if missing:
                raise UsageError(
                    f"{path} lacks the column {missing[0]}. Its first line names them."
                )
            for cells in reader:
                line = Line(
                    path, reader.line_num, {name: (cells[name] or "").strip() for name in columns}
                )
                # DictReader files surplus cells under None and fills missing ones with None.
                if None in cells or None in cells.values():
                    line.refuse("the number of cells differs from the first line's. Quote commas")
                yield line
    except FileNotFoundError:
        raise UsageError(f"{path} does not exist. Put the list there.") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}). Make it readable.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 ({error.reason}). Save it as UTF-8.") from error
    except csv.Error as error:
        raise UsageError(f"{path} is not CSV ({error}). Repair or export it again.") from error


def _lies_in(folder: Path, text: str) -> bool:
    named = PurePosixPath(text)
    if not text or named.is_absolute() or ".." in named.parts or "\\" in text or "\0" in text:
        return False
    try:
        return (folder / named).resolve().is_relative_to(folder.resolve())
    except RuntimeError:  # links that lead in a circle
        return False


def _exists(file: Path) -> bool:
    try:
        return file.exists()
    except OSError:  # a name that is too long, a folder that may not be read
        return False
