"""How large everything is, and how large it will be if it goes on as in the last days."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from db.queries.policy import sizes as rows
from services.context import Context

LOOK_BACK = timedelta(days=14)
"""Growth is that since the first measurement of so many days; upkeep makes one a day."""
SHORTEST = timedelta(hours=20)
YEAR = 365
LEARNED = "datasets and models"
"""Files in the store, beside pictures, audio and segments; all other kinds are tables."""


@dataclass(frozen=True)
class KindSize:
    """A table or a kind of objects.

    Attributes:
        kind: Its name.
        rows: Rows or objects, an estimate.
        bytes: With indexes; of objects from a sample.
        bytes_per_day: How much it grew a day of late; None: not known yet.
    """

    kind: str
    rows: int
    bytes: int
    bytes_per_day: float | None

    @property
    def bytes_per_year(self) -> float | None:
        """What it grows in a year at that pace."""
        return None if self.bytes_per_day is None else self.bytes_per_day * YEAR


@dataclass(frozen=True)
class Sizes:
    """Everything that grows, the largest first."""

    kinds: list[KindSize]
    since: datetime | None
    """From when on growth is measured."""

    @property
    def total(self) -> KindSize:
        """All kinds together."""
        growth = [each.bytes_per_day for each in self.kinds if each.bytes_per_day is not None]
        return KindSize(
            "all",
            sum(each.rows for each in self.kinds),
            sum(each.bytes for each in self.kinds),
            sum(growth) if growth else None,
        )

    def as_json(self) -> dict[str, Any]:
        """Return plain values for ``--json``."""
        return {
            "since": None if self.since is None else self.since.isoformat(),
            "kinds": [_as_json(each) for each in self.kinds],
            "total": _as_json(self.total),
        }


def measure(context: Context) -> Sizes:
    """Return the sizes of now, and the growth since the first measurement of the last days.

    Raises:
        TransientError: The store did not answer.
    """
    now = context.clock()
    found = _now(context)
    with context.transaction() as session:
        since, before = rows.first_since(session, now - LOOK_BACK)
    days = None if since is None or now - since < SHORTEST else (now - since) / timedelta(days=1)
    kinds = [
        KindSize(
            kind,
            n,
            size,
            None if days is None or kind not in before else (size - before[kind]) / days,
        )
        for kind, n, size in found
    ]
    return Sizes(sorted(kinds, key=lambda each: (-each.bytes, each.kind)), since if days else None)


def estimate(context: Context) -> list[KindSize]:
    """Return how large the tables are, by the database's own statistics: quick, nothing is read."""
    with context.transaction() as session:
        return [KindSize(kind, n, size, None) for kind, n, size in rows.tables(session)]


def growth_of(
    session: Session, tables: Mapping[str, int], newest: Mapping[str, int], *, now: datetime
) -> float | None:
    """Return how many bytes a day everything grew of late; None: not known yet.

    Args:
        session: A unit of work.
        tables: Bytes of each table now.
        newest: Bytes of each kind as last measured, objects among them.
        now: The present moment.
    """
    since, before = rows.first_since(session, now - LOOK_BACK)
    if since is None or now - since < SHORTEST:
        return None
    held = {**newest, **tables}
    grew = sum(held[kind] - size for kind, size in before.items() if kind in held)
    return grew / ((now - since) / timedelta(days=1))


def record(context: Context) -> None:
    """Note the sizes of now, for the growth of later."""
    found = _now(context)
    with context.transaction() as session:
        rows.record(session, found, now=context.clock())


def described(size: float) -> str:
    """Return a number of bytes for people, such as ``1.4 GB``."""
    for unit, least in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if abs(size) >= least:
            return f"{size / least:,.1f} {unit}"
    return f"{size / 1e3:,.0f} kB"


def _now(context: Context) -> list[rows.Row]:
    with context.transaction() as session:
        found = [*rows.tables(session), *rows.objects(session)]
        names = rows.learned_objects(session)
    held = context.store.sizes(names) if names else {}
    return [*found, (LEARNED, len(held), sum(held.values()))]


def _as_json(each: KindSize) -> dict[str, Any]:
    return asdict(each) | {"bytes_per_year": each.bytes_per_year}
