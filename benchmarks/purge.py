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
    return [*_in_batches(videos), _dropped(videos), *_scores(videos // 5)]


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
        return _purged(context, "video-statistics", "counts purged")


def _scores(videos: int) -> list[Measurement]:
    """Remove the scores of five nights out of ten, three models each; nothing else of them."""
    with (
        place.folder() as folder,
        place.empty_context(folder, clock=lambda: NOW, retention_nights=5) as context,
    ):
        _add_videos(context, videos)
        _add_scores(context)
        return _purged(context, "scores", "scores removed")


def _purged(context: Context, kind: str, what: str) -> list[Measurement]:
    """Purge one kind; return how its last quarter went against the first, and the whole of it."""
    moments, rows = [time.perf_counter()], [0]

    def note(_kind: str, purged: int) -> None:
        moments.append(time.perf_counter())
        rows.append(purged)

    retention.purge(context, dry_run=False, kinds=[kind], progress=note)
    speeds = [_speed(moments, rows, quarter) for quarter in range(4)]
    whole = rows[-1] / (moments[-1] - moments[0])
    return [
        Measurement(
            f"{rows[-1]:,} {what}, the last quarter",
            f"{speeds[3]:,.0f} rows/s",
            f"the first quarter, {speeds[0]:,.0f} rows/s",
            speeds[3] / speeds[0],
            at_least=0.7,
        ),
        Measurement(what, f"{whole:,.0f} rows/s", "–", whole),
    ]


_SCORES = (
    """
    INSERT INTO datasets (dataset_id, as_of, created_at, n_videos, n_channels, threshold,
        base_rate, videos_sha256, excluded, files)
    SELECT encode(sha256(n::text::bytea), 'hex'), day, day, 1, 1, 100, 0.5, repeat('0', 64),
        '{}', '{}'
    FROM (SELECT n, :now - make_interval(days => n) AS day FROM generate_series(1, 10) n) days
    """,
    """
    INSERT INTO model_versions (rung, version, dataset_id, trained_at, code_version, seed, config,
        files)
    SELECT rung, row_number() OVER (PARTITION BY rung), dataset_id, as_of, '1', 0, '{}', '{}'
    FROM datasets, unnest(ARRAY['a', 'b', 'c']) rung
    """,
    # As nights write them: the rows of each follow those of the night before.
    """
    INSERT INTO scores (video_id, thumbnail_sha256, model_version_id, probability_over,
        log10_views_per_day, scored_at)
    SELECT video_id, encode(sha256(video_id::bytea), 'hex'), model_version_id, 0.5, 2, trained_at
    FROM model_versions, videos ORDER BY trained_at
    """,
)


def _add_scores(context: Context) -> None:
    with context.engine.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        for statement in _SCORES:
            connection.execute(text(statement), {"now": NOW} if ":now" in statement else {})
    _vacuum(context, "scores")


def _vacuum(context: Context, table: str) -> None:
    with context.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"VACUUM ANALYZE {table}"))


def _speed(moments: list[float], rows: list[int], quarter: int) -> float:
    bounds = [
        min(i for i, done in enumerate(rows) if done * 4 >= rows[-1] * end)
        for end in (quarter, quarter + 1)
    ]
    first, last = bounds
    return (rows[last] - rows[first]) / (moments[last] - moments[first])


def _fill(context: Context, videos: int) -> None:
    first = NOW - timedelta(days=KEPT_DAYS + DUE_DAYS)
    _add_videos(context, videos)
    with context.engine.begin() as connection:
        ensure_partitions(connection, start=first, end=NOW)
        # Not measured, and long: looking each video up.
        connection.execute(text("SET LOCAL session_replication_role = replica"))
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
    _vacuum(context, "video_snapshots")


def _add_videos(context: Context, videos: int) -> None:
    with context.engine.begin() as connection:
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
