"""Monthly partitions of ``video_snapshots``, made ahead of the rows that need them."""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial

from sqlalchemy import Connection, text

from db.ddl import patiently

TABLE = "video_snapshots"
MONTHS_AHEAD = 3
_LOCK = 0x7069_6563_6573
"""An advisory lock's number; any will do that nothing else uses."""


def ensure_partitions(
    connection: Connection, *, start: datetime, end: datetime | None = None
) -> list[str]:
    """Make every monthly partition from ``start``'s month to ``end``'s that does not exist yet.

    Args:
        connection: An open transaction.
        start: First moment that must have a partition.
        end: Last such moment; by default MONTHS_AHEAD months after ``start``.

    Returns:
        The names of the partitions made now.
    """
    if end is None:
        end = _add_months(start, MONTHS_AHEAD)
    missing = _missing(connection, start, end)
    if missing:
        # IF NOT EXISTS is no help to two who create at once: the second fails. One at a time.
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        missing = _missing(connection, start, end)
    for partition in missing:
        patiently(connection, partial(_make, connection, *partition))
    return [name for name, _, _ in missing]


def _make(connection: Connection, name: str, low: datetime, high: datetime) -> None:
    """Make a table and attach it: neither readers nor writers of the others wait for that.

    ``CREATE TABLE … PARTITION OF`` would lock out whoever reads any of the partitions. Done by a
    function of the owner's (migration 0018), since who runs this may make no tables.
    """
    bounds = {"parent": TABLE, "part": name, "low": low, "high": high}
    if connection.execute(text("SELECT to_regproc('make_partition') IS NOT NULL")).scalar_one():
        connection.execute(text("SELECT make_partition(:parent, :part, :low, :high)"), bounds)
        return
    # Within a migration before that one, which the owner runs.
    connection.execute(text(f"CREATE TABLE {name} (LIKE {TABLE} INCLUDING ALL)"))
    connection.execute(
        text(
            f"ALTER TABLE {TABLE} ATTACH PARTITION {name} "
            f"FOR VALUES FROM ('{low.isoformat()}') TO ('{high.isoformat()}')"
        )
    )


def _missing(
    connection: Connection, start: datetime, end: datetime
) -> list[tuple[str, datetime, datetime]]:
    """Return name, start and end of the partitions that do not exist."""
    query = text(
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = CAST(:t AS regclass)"
    )
    existing = set(connection.execute(query, {"t": TABLE}).scalars())
    named = ((f"{TABLE}_{low:%Y_%m}", low, high) for low, high in _months(start, end))
    return [partition for partition in named if partition[0] not in existing]


def _months(start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    start, end = start.astimezone(UTC), end.astimezone(UTC)
    low = datetime(start.year, start.month, 1, tzinfo=UTC)
    while low <= end:
        high = _add_months(low, 1)
        yield low, high
        low = high


def _add_months(moment: datetime, months: int) -> datetime:
    years, month = divmod(moment.month - 1 + months, 12)
    return moment.replace(year=moment.year + years, month=month + 1, day=1)
