"""Which objects are wanted and which packs have them: in a file, so that memory stays flat."""

import itertools
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import structlog

from services.backups.target import Place, Target
from services.errors import PermanentError

log = structlog.get_logger()

BATCH = 10_000
_TABLES = """
    PRAGMA journal_mode = OFF;
    PRAGMA synchronous = OFF;
    CREATE TABLE packs (pack_id INTEGER PRIMARY KEY, pack TEXT UNIQUE);
    CREATE TABLE known (name BLOB PRIMARY KEY, pack_id INT, start INT, size INT) WITHOUT ROWID;
    CREATE TABLE wanted (name BLOB PRIMARY KEY) WITHOUT ROWID;
"""


class Catalog:
    """Objects that are wanted, and those that packs of a target hold."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    @classmethod
    @contextmanager
    def of(cls, target: Target, scratch: Path) -> Iterator[Self]:
        """Read the indexes of a target into a file of a folder, which goes with the block."""
        path = scratch / "catalog.sqlite"
        path.unlink(missing_ok=True)
        database = sqlite3.connect(path, isolation_level=None)
        try:
            database.executescript(_TABLES)
            catalog = cls(database)
            for pack in target.packs():
                try:
                    catalog.know(pack, target.index(pack))
                except PermanentError as error:
                    # What it held is copied again.
                    log.warning("backup.index_damaged", pack=pack, problem=str(error))
            yield catalog
        finally:
            database.close()
            path.unlink(missing_ok=True)

    def know(self, pack: str, places: Iterable[Place]) -> None:
        """Note what a pack holds; of an object in several packs the first stands."""
        added = self._database.execute("INSERT INTO packs (pack) VALUES (?)", (pack,))
        rows = ((p.name, added.lastrowid, p.offset, p.size) for p in places)
        self._insert("INSERT OR IGNORE INTO known VALUES (?, ?, ?, ?)", rows)

    def want(self, names: Iterable[bytes]) -> None:
        """Note that objects are wanted."""
        self._insert("INSERT OR IGNORE INTO wanted VALUES (?)", ((name,) for name in names))

    def want_nothing(self) -> None:
        """Forget what is wanted."""
        self._database.execute("DELETE FROM wanted")

    def drop(self, names: Iterable[bytes]) -> None:
        """Want some objects no more."""
        for name in names:
            self._database.execute("DELETE FROM wanted WHERE name = ?", (name,))

    def wanted(self) -> Iterator[bytes]:
        """Yield what is wanted, in order."""
        for (name,) in self._database.execute("SELECT name FROM wanted ORDER BY name"):
            yield name

    def counts(self) -> tuple[int, int]:
        """Return how many objects are wanted, and the bytes of those that packs hold."""
        return self._one(
            "SELECT count(*), coalesce(sum(size), 0) FROM wanted LEFT JOIN known USING (name)"
        )

    def lacking(self) -> int:
        """Return how many wanted objects no pack holds."""
        return self._one(
            "SELECT count(*), 0 FROM wanted LEFT JOIN known USING (name) WHERE size IS NULL"
        )[0]

    def lacking_pages(self, size: int) -> Iterator[list[bytes]]:
        """Yield the wanted objects that no pack holds, in order, some at a time."""
        after = b""
        while True:
            page = [
                name
                for (name,) in self._database.execute(
                    "SELECT w.name FROM wanted w LEFT JOIN known k USING (name) "
                    "WHERE k.size IS NULL AND w.name > ? ORDER BY w.name LIMIT ?",
                    (after, size),
                )
            ]
            if not page:
                return
            yield page
            after = page[-1]

    def packs(self) -> list[str]:
        """Return the packs whose index is whole."""
        return [pack for (pack,) in self._database.execute("SELECT pack FROM packs")]

    def packs_wanted(self) -> dict[str, int]:
        """Return the packs that hold something wanted, and how many objects each."""
        return dict(
            self._database.execute(
                "SELECT pack, count(*) FROM wanted JOIN known USING (name) JOIN packs USING "
                "(pack_id) GROUP BY pack ORDER BY pack"
            ).fetchall()
        )

    def wanted_of(self, pack: str) -> list[Place]:
        """Return what is wanted of a pack, in the order in which it lies there."""
        rows = self._database.execute(
            "SELECT name, start, size FROM known JOIN packs USING (pack_id) JOIN wanted USING "
            "(name) WHERE pack = ? ORDER BY start",
            (pack,),
        )
        return [Place(*row) for row in rows]

    def forget(self, pack: str) -> None:
        """Know nothing of a pack any more."""
        self._database.execute(
            "DELETE FROM known WHERE pack_id = (SELECT pack_id FROM packs WHERE pack = ?)", (pack,)
        )
        self._database.execute("DELETE FROM packs WHERE pack = ?", (pack,))

    def _insert(self, statement: str, rows: Iterable[tuple[object, ...]]) -> None:
        rows = iter(rows)
        while batch := list(itertools.islice(rows, BATCH)):
            self._database.execute("BEGIN")
            self._database.executemany(statement, batch)
            self._database.execute("COMMIT")

    def _one(self, statement: str) -> tuple[int, int]:
        first, second = self._database.execute(statement).fetchone()
        return int(first), int(second)
