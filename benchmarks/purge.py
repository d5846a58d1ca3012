"""Counts past their retention purged: as fast at the end as at the beginning, or dropped."""

import time
from datetime import UTC, datetime, timedelta

from sqlalchemy import text

from benchmarks import place
from benchmarks.measure import Measurement
from db.partitions import ensure_partitions
from services.context import Context
from services.policy import approvals, limits, retention

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
VIDEOS, MANY_VIDEOS, CHANNELS = 100_000, 1_000_000, 1_000
KEPT_DAYS = limits.DUE.days
APPROVED = "UC" + "1".rjust(22, "0")
DUE_DAYS = 10
"""Days of counts that are past their retention, one a day and video."""


def measure(*, full: bool) -> list[Measurement]:
    """Purge in batches, the last quarter of them against the first, and by whole partitions."""
    videos = MANY_VIDEOS if full else VIDEOS
    return [*_in_batches(videos), _dropped(videos)]


def _dropped(videos: int) -> Measurement:
    """Purge with nothing in the way, where every day that is due is a partition of its own."""
    with (
        place.folder() as folder,
        place.empty_context(folder, clock=lambda: NOW) as context,
    ):
        _fill(context, videos)
        started = time.perf_counter()
        found = retention.purge(context, dry_run=False, kinds=["video-statistics"]).kinds[0]
        speed = found.rows / (time.perf_counter() - started)
    return Measurement(
        f"{found.rows:,} counts purged, {len(found.partitions)} days of them dropped",
        f"{speed:,.0f} rows/s",
        "–",
        speed,
        at_least=50_000,
    )


def _in_batches(videos: int) -> list[Measurement]:
    """Purge where no partition can be dropped, because one channel's counts stay."""
    with (
        place.folder() as folder,
        place.empty_context(
            folder, clock=lambda: NOW, retention_video_statistics_days=365
        ) as context,
    ):
        _fill(context, videos)
        approvals.add(context, "letter", scope="statistics", channel_id=APPROVED)
        moments, rows = [time.perf_counter()], [0]

        def note(_kind: str, purged: int) -> None:
            moments.append(time.perf_counter())
            rows.append(purged)

        retention.purge(context, dry_run=False, kinds=["video-statistics"], progress=note)
    speeds = [_speed(moments, rows, quarter) for quarter in range(4)]
    whole = rows[-1] / (moments[-1] - moments[0])
    return [
        Measurement(
            f"{rows[-1]:,} counts purged, the last quarter",
            f"{speeds[3]:,.0f} rows/s",
            f"the first quarter, {speeds[0]:,.0f} rows/s",
            speeds[3] / speeds[0],
            at_least=0.7,
        ),
        Measurement("counts purged", f"{whole:,.0f} rows/s", "–", whole),
    ]


def _speed(moments: list[float], rows: list[int], quarter: int) -> float:
    bounds = [
        min(i for i, done in enumerate(rows) if done * 4 >= rows[-1] * end)
        for end in (quarter, quarter + 1)
    ]
    first, last = bounds
    return (rows[last] - rows[first]) / (moments[last] - moments[first])


def _fill(context: Context, videos: int) -> None:
    first = NOW - timedelta(days=KEPT_DAYS + DUE_DAYS)
    with context.engine.begin() as connection:
        ensure_partitions(connection, start=first, end=NOW)
        # Not measured, and long: looking each video up.
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(
            text(
                "INSERT INTO channels (channel_id, added_at) "
                "SELECT 'UC' || lpad(i::text, 22, '0'), :now FROM generate_series(1, :n) i"
            ),
            {"now": NOW, "n": CHANNELS},
        )
        connection.execute(
            text(
                """
                INSERT INTO videos (video_id, channel_id, published_at, first_seen_at)
                SELECT
                    left(translate(encode(decode(md5(i::text), 'hex'), 'base64'), '+/', '-_'), 11),
                    'UC' || lpad((i % :channels + 1)::text, 22, '0'), :now, :now
                FROM generate_series(1, :n) i
                """
            ),
            {"now": NOW, "n": videos, "channels": CHANNELS},
        )
        connection.execute(
            text(
                """
                INSERT INTO video_snapshots (video_id, slot, captured_at, view_count)
                SELECT video_id, :now - make_interval(days => day),
                    :now - make_interval(days => day) + interval '1 minute', 1
                FROM generate_series(1, :days) day, videos
                """
            ),
            {"now": NOW, "days": KEPT_DAYS + DUE_DAYS},
        )
    with context.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE video_snapshots"))
