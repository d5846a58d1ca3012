"""Monthly partitions of ``video_snapshots``, made ahead of the rows that need them."""

from collections.abc import Iterator
from datetime import UTC, datetime

from sqlalchemy import Connection, text

TABLE = "video_snapshots"
MONTHS_AHEAD = 3


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
    existing = set(
        connection.execute(
            text(
                "SELECT inhrelid::regclass::text FROM pg_inherits "
                "WHERE inhparent = CAST(:t AS regclass)"
            ),
            {"t": TABLE},
        ).scalars()
    )
    made = []
    for low, high in _months(start, end):
        name = f"{TABLE}_{low:%Y_%m}"
        if name in existing:
            continue
        # IF NOT EXISTS, because two workers may come here at once.
        connection.execute(
            text(
                f"CREATE TABLE IF NOT EXISTS {name} PARTITION OF {TABLE} "
                f"FOR VALUES FROM ('{low.isoformat()}') TO ('{high.isoformat()}')"
            )
        )
        made.append(name)
    return made


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
