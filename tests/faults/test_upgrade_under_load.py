"""An installation of an earlier release is upgraded while everybody goes on working."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime

import pytest
from sqlalchemy import Connection, create_engine, text

from db import migrate
from services.embedded import Endpoints
from tests.support.databases import EMPTY, own_database, owned

RELEASES = ("0010", "0022")
NOW = datetime(2026, 7, 15, 12, tzinfo=UTC)
PATIENCE = "5s"
VIDEOS, CHANNELS = 60_000, 600
FILL = """
    INSERT INTO channels (channel_id, added_at)
    SELECT 'UC' || lpad(i::text, 22, '0'), :now FROM generate_series(1, :channels) i;
    INSERT INTO videos (video_id, channel_id, published_at, first_seen_at, refreshed_at, state)
    SELECT lpad(i::text, 11, '0'), 'UC' || lpad((i % :channels + 1)::text, 22, '0'),
        :now - interval '40 days', :now, :now, 'public' FROM generate_series(1, :videos) i;
    INSERT INTO video_snapshots (video_id, slot, captured_at, view_count)
    SELECT v.video_id, d.day, d.day, 1000 FROM videos v,
        generate_series(CAST(:now AS timestamptz) - interval '9 days', :now, '3 days') d (day);
    INSERT INTO work_items (kind, entity_id, channel_id, state, slot, ready_at)
    SELECT kind, video_id, channel_id, 'due', :now, :now FROM videos,
        (VALUES ('video.snapshot'), ('video.thumbnail')) k (kind);
    INSERT INTO thumbnails (thumbnail_sha256, format, width, height, byte_size, stored_at)
    SELECT repeat(n, 64), 'jpeg', 320, 180, 9000, :now FROM (VALUES ('0'), ('1')) t (n);
    INSERT INTO video_thumbnails (video_id, version, thumbnail_sha256, variant, is_current,
        first_seen_at, last_seen_at)
    SELECT video_id, version, repeat((version - 1)::text, 64), 'mqdefault',
        (version = 2) = (right(video_id, 1) = '1'),
        :now - interval '1 day' * (9 - 4 * version), :now - interval '1 day' * (6 - 3 * version)
    FROM videos, generate_series(1, 2) version WHERE version = 1 OR right(video_id, 1) = '1'
"""


@pytest.fixture(params=RELEASES)
def release(endpoints: Endpoints, request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a database of an earlier release, with data."""
    with own_database(owned(endpoints.database_url), "release", template=EMPTY) as url:
        migrate.upgrade(url, request.param)
        engine = create_engine(url)
        with engine.begin() as connection:
            connection.execute(
                text(
                    "CREATE TABLE IF NOT EXISTS video_snapshots_2026_07 PARTITION OF "
                    "video_snapshots FOR VALUES FROM ('2026-07-01T00:00Z') TO ('2026-08-01T00:00Z')"
                )
            )
            for statement in FILL.split(";"):
                connection.execute(
                    text(statement), {"now": NOW, "videos": VIDEOS, "channels": CHANNELS}
                )
        engine.dispose()
        yield url


def read(connection: Connection, n: int) -> None:
    """As an analyst does."""
    connection.execute(text("SELECT * FROM scored_videos LIMIT 20")).all()
    connection.execute(text("SELECT video_id FROM thumbnail_changes LIMIT 20")).all()
    connection.execute(
        text("SELECT max(view_count) FROM video_snapshots WHERE video_id = :v"),
        {"v": f"{n % VIDEOS + 1:011d}"},
    ).all()


def claim(connection: Connection, n: int) -> None:
    """As a dispatcher and a worker of the earlier release do."""
    connection.execute(
        text(
            "UPDATE work_items SET attempts = attempts + 1 WHERE (kind, entity_id) IN ("
            "SELECT kind, entity_id FROM work_items WHERE kind = 'video.snapshot' "
            "AND ready_at <= :now ORDER BY ready_at LIMIT 50 FOR UPDATE SKIP LOCKED)"
        ),
        {"now": NOW},
    )


def write(connection: Connection, n: int) -> None:
    """As a worker does."""
    connection.execute(
        text(
            "INSERT INTO video_snapshots (video_id, slot, captured_at, view_count) "
            "VALUES (:v, :slot, :slot, 7) ON CONFLICT DO NOTHING"
        ),
        {"v": f"{n % VIDEOS + 1:011d}", "slot": NOW.replace(microsecond=n % 1_000_000)},
    )


def show(connection: Connection, n: int) -> None:
    """As who fetches thumbnails does."""
    connection.execute(
        text(
            "UPDATE video_thumbnails SET last_seen_at = greatest(last_seen_at, :now) "
            "WHERE video_id = :v AND is_current"
        ),
        {"v": f"{n % VIDEOS + 1:011d}", "now": NOW},
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_nobody_waits_for_long_while_the_schema_changes(release: str):
    """A statement that waits longer for a lock than its patience fails, and with it the test."""
    stop = threading.Event()
    longest: dict[str, float] = {}

    def go_on(work: Callable[[Connection, int], None], held_s: float = 0.0) -> int:
        engine = create_engine(
            release, connect_args={"options": f"-c lock_timeout={PATIENCE} -c timezone=UTC"}
        )
        n = 0
        with closing(engine.raw_connection()):
            while not stop.is_set():
                started = time.monotonic()
                with engine.begin() as connection:
                    work(connection, n)
                    took = time.monotonic() - started
                    stop.wait(held_s)
                longest[work.__name__] = max(longest.get(work.__name__, 0.0), took)
                n += 1
        engine.dispose()
        return n

    with ThreadPoolExecutor(6) as pool:
        under_way = [
            pool.submit(go_on, work, held_s)
            # Some keep their transactions open for a while, as batch jobs do.
            for work, held_s in (
                (read, 0),
                (read, 1.5),
                (claim, 0),
                (write, 0),
                (write, 0.5),
                (show, 0.1),
            )
        ]
        try:
            assert migrate.upgrade(release) is True
        finally:
            stop.set()
        done = [load.result() for load in under_way]
    print("rounds", done, "longest seconds", longest)
    assert all(n > 0 for n in done)
    engine = create_engine(release)
    assert migrate.current_revision(engine) == migrate.head_revision()
    engine.dispose()
