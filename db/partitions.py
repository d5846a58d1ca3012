"""Partitions of ``video_snapshots``, a day each, made ahead of the rows that need them.

A day, because counts are let go of daily: what is past its term then is a table that is dropped,
not rows that are deleted. Planning takes longer with each partition (0.5 ms at 36, 20 ms at 400),
so where counts are kept for long, and there are many, new ones are a week each. Those of earlier
releases are months; which days a partition holds is read from its bounds, whatever its name.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from sqlalchemy import Connection, text

from db.ddl import patiently

TABLE = "video_snapshots"
AHEAD = timedelta(days=7)
DAY, WEEK = timedelta(days=1), timedelta(days=7)
MOST_DAYS = 60
"""With so many partitions, or so many to be made, new ones are weeks."""
DROP_TRIES = 3
"""Few: what could not be dropped is emptied, and dropped another day."""
_LOCK = 0x7069_6563_6573
"""An advisory lock's number; any will do that nothing else uses."""
_DROP_LOCK = _LOCK + 1
_BOUNDS = re.compile(r"FOR VALUES FROM \('([^']+)'\) TO \('([^']+)'\)")


@dataclass(frozen=True, order=True)
class Partition:
    """A partition and the slots it holds: from ``low`` on, before ``high``."""

    low: datetime
    high: datetime
    name: str


def partitions(connection: Connection) -> list[Partition]:
    """Return the partitions there are, the oldest first."""
    found = connection.execute(
        text(
            "SELECT c.oid::regclass::text, pg_get_expr(c.relpartbound, c.oid) "
            "FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid "
            "WHERE inhparent = CAST(:t AS regclass)"
        ),
        {"t": TABLE},
    )
    # One that is dropped in this moment is listed still, and has no bounds any more.
    bounds = [(name, _BOUNDS.fullmatch(bound or "")) for name, bound in found]
    return sorted(
        Partition(_moment(bound[1]), _moment(bound[2]), name)
        for name, bound in bounds
        if bound is not None
    )


def ensure_partitions(
    connection: Connection, *, start: datetime, end: datetime | None = None
) -> list[str]:
    """Make the partitions from ``start``'s day to ``end``'s where there is none yet.

    Args:
        connection: An open transaction.
        start: First moment that must have a partition.
        end: Last such moment; by default ``AHEAD`` after ``start``.

    Returns:
        The names of the partitions made now.
    """
    first, last = _midnight(start), _midnight(start + AHEAD if end is None else end)
    return ensure_partitions_of(
        connection, [first + DAY * n for n in range((last - first).days + 1)]
    )


def ensure_partitions_of(connection: Connection, slots: Iterable[datetime]) -> list[str]:
    """Make the partitions of some slots where there is none yet; return the names of those made."""
    days = sorted({_midnight(slot) for slot in slots})
    if _named_so(connection, days):
        return []
    missing = _missing(partitions(connection), days)
    if missing:
        # IF NOT EXISTS is no help to two who create at once: the second fails. One at a time.
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        missing = _missing(partitions(connection), days)
    for new in missing:
        patiently(connection, partial(_make, connection, new))
    return [new.name for new in missing]


def lock_dropping(connection: Connection) -> None:
    """Let nobody else drop partitions until the transaction ends; nothing else waits for that.

    A lock of the table itself would be in the way of whoever makes partitions, and that one, who
    may have written into it, in ours.
    """
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _DROP_LOCK})


def drop_partition(connection: Connection, name: str, *, only_if: Callable[[], bool]) -> None:
    """Drop a partition; whoever reads or writes any is held up for a moment only.

    Args:
        connection: An open transaction that has no lock of the table.
        name: The partition.
        only_if: Asked when nobody reads or writes any more; should take a moment.

    Raises:
        OperationalError: Somebody reads or writes snapshots for longer than we wait; who waits
            for this lock holds up everybody who comes after.
    """

    def drop() -> None:
        # The table first, as everybody comes by: who has it and wants the partition would wait for
        # us, and we for that one.
        connection.execute(text(f"LOCK TABLE ONLY {TABLE} IN ACCESS EXCLUSIVE MODE"))
        if only_if():
            # Not detached first: that would lock the videos, too, which a foreign key refers to.
            connection.execute(text("SELECT drop_partition(:name)"), {"name": name})

    patiently(connection, drop, tries=DROP_TRIES)


def _make(connection: Connection, new: Partition) -> None:
    """Make a table and attach it: neither readers nor writers of the others wait for that.

    ``CREATE TABLE … PARTITION OF`` would lock out whoever reads any of the partitions. Done by a
    function of the owner's (migration 0018), since who runs this may make no tables.
    """
    if _has_functions(connection):
        connection.execute(
            text("SELECT make_partition(:parent, :part, :low, :high)"),
            {"parent": TABLE, "part": new.name, "low": new.low, "high": new.high},
        )
        return
    # Within a migration before that one, which the owner runs.
    connection.execute(text(f"CREATE TABLE {new.name} (LIKE {TABLE} INCLUDING ALL)"))
    connection.execute(
        text(
            f"ALTER TABLE {TABLE} ATTACH PARTITION {new.name} "
            f"FOR VALUES FROM ('{new.low.isoformat()}') TO ('{new.high.isoformat()}')"
        )
    )


def _has_functions(connection: Connection) -> bool:
    found = text("SELECT to_regproc('make_partition') IS NOT NULL")
    return bool(connection.execute(found).scalar_one())


def _named_so(connection: Connection, days: Sequence[datetime]) -> bool:
    """Tell whether all have a partition of their day's or month's name: the usual case, cheaply."""
    names = [[f"{TABLE}_{day:{form}}" for day in days] for form in ("%Y_%m_%d", "%Y_%m")]
    query = text(
        "SELECT bool_and(coalesce(to_regclass(d), to_regclass(m)) IS NOT NULL) "
        "FROM unnest(CAST(:days AS text[]), CAST(:months AS text[])) AS named (d, m)"
    )
    return bool(connection.execute(query, {"days": names[0], "months": names[1]}).scalar_one())


def _missing(existing: Sequence[Partition], days: Sequence[datetime]) -> list[Partition]:
    """Return the partitions that fill what of the days no partition holds."""
    gaps = [gap for low in days for gap in _free(existing, low, low + DAY)]
    if len(existing) + len(gaps) <= MOST_DAYS:
        return gaps
    mondays = sorted({_midnight(gap.low) - DAY * gap.low.weekday() for gap in gaps})
    return [gap for low in mondays for gap in _free(existing, low, low + WEEK)]


def _free(existing: Sequence[Partition], low: datetime, high: datetime) -> Iterator[Partition]:
    """Yield what of a span none of the partitions holds, in pieces between them."""
    for taken in existing:
        if taken.high <= low or taken.low >= high:
            continue
        if low < taken.low:
            yield _named(low, taken.low)
        low = taken.high
    if low < high:
        yield _named(low, high)


def _named(low: datetime, high: datetime) -> Partition:
    return Partition(low, high, f"{TABLE}_{low:%Y_%m_%d}")


def _midnight(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _moment(written: str) -> datetime:
    """Read a bound as PostgreSQL writes it, in whatever zone the session has."""
    return datetime.fromisoformat(written).astimezone(UTC)
