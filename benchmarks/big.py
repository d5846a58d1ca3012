"""A big invented database, written by SQL in minutes: for what must not grow with the videos."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, text

from db.partitions import ensure_partitions
from services import tick
from services.context import Context

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
RUNGS = ("constant", "subscribers", "thumbnail", "subscribers+thumbnail")
DAY, WEEK = timedelta(days=1), timedelta(days=7)


@dataclass(frozen=True)
class Size:
    """How much there is.

    Attributes:
        videos: With counts, a picture and scores each.
        per_channel: Of them.
        swaps: Videos whose picture was swapped once.
        counts: Of each video, a week apart.
        rungs: Those that have a model, which scored every video.
    """

    videos: int
    per_channel: int = 100
    swaps: int = 10_000
    counts: int = 4
    rungs: tuple[str, ...] = RUNGS


def fill(context: Context, size: Size) -> None:
    """Fill an empty database of the newest schema, and tell the planner what is in it."""
    with context.engine.begin() as connection:
        _begin(connection)
        ensure_partitions(connection, start=NOW - max(40 * DAY, WEEK * size.counts), end=NOW)
        indexes = _drop_indexes(connection, _LARGE)
        values = {
            "now": NOW, "videos": size.videos, "swaps": size.swaps, "rungs": list(size.rungs),
            "channels": max(size.videos // size.per_channel, 1),
            "first": 1 - size.counts, "last": 0,
        }  # fmt: skip
        for statement in _STATEMENTS:
            _execute(connection, statement, values)
        for index in indexes:
            connection.execute(text(index))
    _vacuum(context)


def add_earlier(context: Context, size: Size, counts: int) -> None:
    """Give the videos of a filled database earlier counts, so that each has so many."""
    with context.engine.begin() as connection:
        _begin(connection)
        ensure_partitions(connection, start=NOW - WEEK * counts, end=NOW)
        indexes = _drop_indexes(connection, (_SNAPSHOTS,))
        values = {
            "now": NOW, "videos": size.videos, "first": 1 - counts, "last": -size.counts,
        }  # fmt: skip
        _execute(connection, _COUNTS, values)
        for index in indexes:
            connection.execute(text(index))
        connection.execute(text("DELETE FROM daily_counts"))
        _execute(connection, _DAILY, {"now": NOW, "first": 1 - counts})
    _vacuum(context)


def _begin(connection: Connection) -> None:
    """Have not the minutes that a service's statements have, and nothing looked up row by row."""
    for setting in (
        "statement_timeout = 0", "session_replication_role = replica",
        "maintenance_work_mem = '512MB'", "work_mem = '128MB'",
    ):  # fmt: skip
        connection.execute(text(f"SET LOCAL {setting}"))


def _execute(connection: Connection, statement: str, values: Mapping[str, object]) -> None:
    used = {name: value for name, value in values.items() if f":{name}" in statement}
    connection.execute(text(statement), used)


def _vacuum(context: Context, tables: str = "") -> None:
    with context.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SET statement_timeout = 0"))
        connection.execute(text(f"VACUUM ANALYZE {tables}"))


_SNAPSHOTS = "video_snapshots"


def keep_swaps(context: Context) -> None:
    """Reckon all swaps, as the dispatcher does before long."""
    with context.engine.begin() as connection:
        connection.execute(
            text("INSERT INTO swaps_to_keep (channel_id) SELECT channel_id FROM channels")
        )
    clock, later = context.clock, context.clock()
    context.clock = lambda: later
    # Where one takes long the others of its channel wait for a while.
    while tick.keep_swaps(context, for_s=math.inf):
        later += DAY
    context.clock = clock
    _vacuum(context, "kept_swaps, swaps_to_keep")


_LARGE = (
    "videos", _SNAPSHOTS, "newest_counts", "scores", "current_scores", "video_thumbnails",
    "work_items",
)  # fmt: skip


def _drop_indexes(connection: Connection, tables: Sequence[str]) -> list[str]:
    """Drop what is dear to grow row by row; return the statements that bring it back."""
    again = []
    keys = text(
        """
        SELECT k.conrelid::regclass::text, k.conname, pg_get_constraintdef(k.oid)
        FROM pg_constraint k
        WHERE k.contype = 'p' AND k.conrelid = ANY(CAST(:tables AS regclass[]))
          AND NOT EXISTS (SELECT FROM pg_constraint f WHERE f.confrelid = k.conrelid)
        """
    )
    for table, name, definition in connection.execute(keys, {"tables": list(tables)}).all():
        connection.execute(text(f"ALTER TABLE {table} DROP CONSTRAINT {name}"))
        again.append(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}")
    indexes = text(
        "SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index "
        "WHERE indrelid = ANY(CAST(:tables AS regclass[])) AND NOT indisprimary"
    )
    for name, definition in connection.execute(indexes, {"tables": list(tables)}).all():
        connection.execute(text(f"DROP INDEX {name}"))
        again.append(definition)
    return again


# Ids and hashes lie all over their indexes, as YouTube's and SHA-256 do.
_ID = "left(translate(encode(decode(md5(i::text), 'hex'), 'base64'), '+/', '-_'), 11)"
_CHANNEL = "'UC' || lpad((i % :channels)::text, 22, '0')"
_SHA = "md5('a' || i) || md5('b' || i)"
_OTHER_SHA = "md5('c' || i) || md5('d' || i)"
_AGE = "interval '1 hour' * (800 + (hashint4(i) & 32767))"
_DATASET = "repeat('1', 64)"
_COUNTS = f"""
    INSERT INTO video_snapshots (video_id, slot, captured_at, view_count, like_count, comment_count,
        view_definition)
    SELECT {_ID}, at, at + interval '1 minute', greatest(views + views / 100 * week, 0), 12, 3,
        'started'
    FROM generate_series(CAST(:first AS int), CAST(:last AS int)) week,
        generate_series(1, :videos) i,
        LATERAL (SELECT :now - interval '1 day' + interval '7 days' * week
            + interval '1 minute' * (i % 1440) AS at,
            (10 ^ (1 + (hashint4(i + 7) & 1023) / 200.0::float8))::bigint AS views) drawn
"""
# Each week has the same of them: one is counted.
_DAILY = """
    INSERT INTO daily_counts (channel_id, day, kind, reason, n_slots, n_late, n_entities)
    SELECT channel_id, day + 7 * week, 'video.snapshot', '', n, 0, 0
    FROM generate_series(CAST(:first AS int), 0) week, (
        SELECT v.channel_id, (s.slot AT TIME ZONE 'UTC')::date AS day, count(*) AS n
        FROM video_snapshots s JOIN videos v USING (video_id)
        WHERE s.slot >= :now - interval '1 day' GROUP BY 1, 2
    ) of_one
    UNION ALL
    SELECT channel_id, (slot AT TIME ZONE 'UTC')::date, 'channel.snapshot', '', count(*), 0, 0
    FROM channel_snapshots GROUP BY 1, 2
"""
_STATEMENTS = (
    """
    INSERT INTO channels (channel_id, handle, title, published_at, added_at, refreshed_at)
    SELECT 'UC' || lpad(i::text, 22, '0'), '@channel' || i, 'Channel ' || i,
        :now - interval '2000 days', :now - interval '100 days', :now - interval '1 day'
    FROM generate_series(0, :channels - 1) i
    """,
    """
    INSERT INTO channel_snapshots (channel_id, slot, captured_at, subscriber_count, view_count)
    SELECT channel_id, at, at + interval '1 minute', (10 ^ (2 + 4 * random()))::bigint, 1000000
    FROM channels, generate_series(:now - interval '29 days', :now, interval '1 day') at
    """,
    f"""
    INSERT INTO videos (video_id, channel_id, title, published_at, duration_s, category_id,
        default_audio_language, first_seen_at, refreshed_at, format)
    SELECT {_ID}, {_CHANNEL}, 'What happened on day ' || i || ', and why nobody saw it coming',
        :now - {_AGE}, 60 + i % 900, '22', CASE i % 3 WHEN 0 THEN 'en' WHEN 1 THEN 'zh-Hans' END,
        :now - interval '100 days' + interval '1 second' * (i % 86400), :now - interval '9 days',
        CASE i % 4 WHEN 0 THEN 'short' ELSE 'long' END
    FROM generate_series(1, :videos) i
    """,
    _COUNTS,
    f"""
    INSERT INTO thumbnails (thumbnail_sha256, format, width, height, byte_size, stored_at,
        perceptual_hash)
    SELECT {_SHA}, 'jpeg', 320, 180, 9000, :now - interval '90 days', hashint8(i)
    FROM generate_series(1, :videos) i
    UNION ALL
    SELECT {_OTHER_SHA}, 'jpeg', 320, 180, 9000, :now - interval '90 days', hashint8(-i)
    FROM generate_series(1, :swaps) i
    -- Its key cannot be dropped meanwhile; in its order it grows at its end.
    ORDER BY 1
    """,
    f"""
    INSERT INTO video_thumbnails (video_id, version, thumbnail_sha256, variant, is_current,
        first_seen_at, last_seen_at)
    SELECT {_ID}, 1, {_SHA}, 'mqdefault', i > :swaps, :now - interval '90 days',
        CASE WHEN i > :swaps THEN :now - interval '2 days' ELSE at - interval '1 day' END
    FROM generate_series(1, :videos) i,
        LATERAL (SELECT :now - interval '8 days' - interval '1 minute' * (i % 8640) AS at) swap
    UNION ALL
    SELECT {_ID}, 2, {_OTHER_SHA}, 'mqdefault', true, at, :now - interval '2 days'
    FROM generate_series(1, :swaps) i,
        LATERAL (SELECT :now - interval '8 days' - interval '1 minute' * (i % 8640) AS at) swap
    """,
    f"""
    INSERT INTO datasets (dataset_id, as_of, created_at, n_videos, n_channels, threshold, base_rate,
        videos_sha256, excluded, files, task)
    VALUES ({_DATASET}, :now, :now, 2, 1, 100, 0.5, repeat('2', 64), '{{}}', '{{}}', 'thumbnails')
    """,
    f"""
    INSERT INTO model_versions (rung, version, dataset_id, trained_at, code_version, seed,
        config, files, task)
    SELECT rung, 1, {_DATASET}, :now, '1', 0, '{{}}', '{{}}', 'thumbnails'
    FROM unnest(CAST(:rungs AS text[])) WITH ORDINALITY AS r (rung, place) ORDER BY place
    """,
    """
    INSERT INTO model_aliases (task, alias, model_version_id, set_at)
    SELECT task, 'champion', max(model_version_id), :now FROM model_versions GROUP BY task
    """,
    f"""
    INSERT INTO scores (video_id, thumbnail_sha256, model_version_id, probability_over,
        log10_views_per_day, scored_at)
    SELECT {_ID}, CASE WHEN i > :swaps THEN {_SHA} ELSE {_OTHER_SHA} END, model_version_id,
        (hashint8(i * 4 + model_version_id) & 1023) / 1024.0,
        (hashint8(i * 4 + model_version_id) & 1023) / 250.0, :now - interval '1 day'
    FROM generate_series(1, :videos) i, model_versions
    """,
    # What triggers would have written.
    """
    INSERT INTO newest_counts (video_id, began_at, slot, captured_at, view_count, views_per_day)
    SELECT v.video_id, v.published_at, s.slot, s.captured_at, s.view_count, s.view_count
        / greatest(extract(epoch FROM s.captured_at - v.published_at) / 86400, 1)::float8
    FROM videos v JOIN video_snapshots s USING (video_id)
    WHERE s.slot >= :now - interval '1 day'
    """,
    _DAILY,
    """
    INSERT INTO current_scores (video_id, model_version_id, rung, probability_over,
        log10_views_per_day, scored_at, views_per_day)
    SELECT s.video_id, m.model_version_id, m.rung, s.probability_over, s.log10_views_per_day,
        s.scored_at, n.views_per_day
    FROM scores s
    JOIN model_versions m USING (model_version_id)
    JOIN newest_counts n USING (video_id)
    """,
    # By the database's own clock, which completeness asks: a thousandth is overdue.
    *(
        f"""
        INSERT INTO work_items (kind, entity_id, channel_id, state, slot, ready_at, interval_s,
            done_at)
        SELECT '{kind}', video_id, channel_id, 'due', at, at, 604800, at - interval '7 days'
        FROM videos, LATERAL (
            SELECT now() + interval '1 minute' * ((hashtext(video_id) & 8191) - 68) AS at) due
        """
        for kind in ("video.snapshot", "video.thumbnail")
    ),
    *(
        f"""
        INSERT INTO work_items (kind, entity_id, channel_id, state, slot, ready_at, interval_s,
            done_at)
        SELECT '{kind}', channel_id, channel_id, 'due', at, at, 86400, at - interval '1 day'
        FROM channels, LATERAL (
            SELECT now() + interval '1 minute' * ((hashtext(channel_id) & 1023) - 61) AS at) due
        """
        for kind in ("channel.discover", "channel.snapshot")
    ),
)  # fmt: skip
