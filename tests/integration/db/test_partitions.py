"""Partitions are made ahead, by any number of workers at once."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from threading import Barrier

import pytest
from sqlalchemy import Connection, text

from db import ddl
from db.partitions import DAY, ensure_partitions, ensure_partitions_of, partitions
from services.context import Context
from services.policy import retention
from tests.support.crawl import value
from tests.support.databases import owner_engine
from tests.support.embedded import wait_until


def test_many_workers_make_the_same_partitions_at_once(context: Context):
    start, together = datetime(2031, 1, 31, tzinfo=UTC), Barrier(4)

    def make(_: int) -> list[str]:
        with context.engine.begin() as connection:
            together.wait(30)
            return ensure_partitions(connection, start=start)

    with ThreadPoolExecutor(4) as pool:
        made = [name for names in pool.map(make, range(4)) for name in names]
    days = ["2031_01_31", *(f"2031_02_0{day}" for day in range(1, 8))]
    assert sorted(made) == [f"video_snapshots_{day}" for day in days]
    query = "SELECT count(*) FROM pg_inherits WHERE inhrelid::regclass::text LIKE '%s_2031______'"
    assert value(context, query) == 8


def test_neither_readers_nor_a_writer_hold_a_new_partition_up(context: Context):
    with context.engine.connect() as reader, context.engine.connect() as writer:
        reader.execute(text("SELECT count(*) FROM video_snapshots"))
        writer.execute(text("LOCK TABLE video_snapshots IN ROW EXCLUSIVE MODE"))
        with context.engine.begin() as connection:
            # Given up at once if it ever had to wait.
            connection.execute(text("SET LOCAL lock_timeout = '1ms'"))
            made = ensure_partitions(connection, start=datetime(2032, 1, 1, tzinfo=UTC))
            assert connection.execute(text("SHOW lock_timeout")).scalar_one() == "1ms"
    assert len(made) == 8


def test_who_waits_behind_a_change_of_the_schema_waits_briefly(
    context: Context, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(ddl, "LOCK_S", 0.2)
    monkeypatch.setattr(ddl, "BETWEEN_S", 0.0)
    tried, read = [], []

    def change(connection: Connection) -> None:
        tried.append(True)
        connection.execute(text("LOCK TABLE channels IN ACCESS EXCLUSIVE MODE"))

    def make() -> None:
        with context.engine.begin() as connection:
            ddl.patiently(connection, lambda: change(connection))

    with context.engine.connect() as holder, ThreadPoolExecutor(1) as pool:
        holder.execute(text("SELECT count(*) FROM channels"))
        changing = pool.submit(make)
        while len(tried) < 3:
            with context.engine.begin() as reader:
                reader.execute(text("SET LOCAL lock_timeout = '5s'"))
                read.append(reader.execute(text("SELECT count(*) FROM channels")).scalar_one())
        holder.rollback()
        changing.result(timeout=30)
    assert read


def test_beside_months_of_an_earlier_release_days_begin_where_they_end(context: Context):
    with owner_engine(context) as engine, engine.begin() as connection:
        connection.execute(text("SET LOCAL timezone = 'America/Los_Angeles'"))
        connection.execute(
            text(
                "CREATE TABLE video_snapshots_2035_02 PARTITION OF video_snapshots "
                "FOR VALUES FROM ('2035-02-01 00:00+00') TO ('2035-03-01 00:00+00')"
            )
        )
        made = ensure_partitions(
            connection,
            start=datetime(2035, 1, 30, 12, tzinfo=UTC),
            end=datetime(2035, 3, 2, 12, tzinfo=UTC),
        )
    days = ("2035_01_30", "2035_01_31", "2035_03_01", "2035_03_02")
    assert made == [f"video_snapshots_{day}" for day in days]


def test_where_there_are_many_new_ones_are_weeks_that_fill_what_is_free(context: Context):
    wednesday = datetime(2036, 10, 1, tzinfo=UTC)
    with context.engine.begin() as connection:
        ensure_partitions(connection, start=wednesday, end=wednesday)
        ensure_partitions(connection, start=wednesday, end=wednesday + 90 * DAY)
        found = [each for each in partitions(connection) if each.low.year == 2036]
        assert ensure_partitions_of(connection, [wednesday + 45 * DAY]) == []
    # One day, the two around it of its week, then whole weeks without a gap.
    assert [(each.high - each.low).days for each in found] == [2, 1, 4] + [7] * 13
    assert all(a.high == b.low for a, b in pairwise(found))
    assert found[0].low == datetime(2036, 9, 29, tzinfo=UTC)


def test_slots_far_apart_have_their_own_days_and_nothing_between(context: Context):
    far = [datetime(2012, 5, 10, 23, 59, tzinfo=UTC), datetime(2040, 1, 1, tzinfo=UTC)]
    with context.engine.begin() as connection:
        made = ensure_partitions_of(connection, far)
    assert made == ["video_snapshots_2012_05_10", "video_snapshots_2040_01_01"]


@pytest.mark.parametrize("is_due", [True, False], ids=["due", "later"])
def test_who_writes_into_a_partition_that_is_about_to_be_dropped_waits_for_nobody(
    context: Context, *, is_due: bool
):
    """Neither gives up for the other, and nothing that may be kept is lost."""
    old, now = datetime(2026, 1, 5, tzinfo=UTC), datetime(2026, 7, 15, tzinfo=UTC)
    context.clock = lambda: now
    insert = text(
        "INSERT INTO video_snapshots (video_id, slot, captured_at, view_count) "
        "VALUES ('v0000000000', :slot, :at, 1)"
    )
    with context.engine.begin() as connection:
        for moment in (old, now):
            ensure_partitions(connection, start=moment, end=moment)
        connection.execute(
            text("INSERT INTO channels (channel_id, added_at) VALUES (:c, now())"),
            {"c": "UC" + "c" * 22},
        )
        connection.execute(
            text(
                "INSERT INTO videos (video_id, channel_id, published_at, first_seen_at) "
                "VALUES ('v0000000000', :c, :old, :old)"
            ),
            {"c": "UC" + "c" * 22, "old": old},
        )
        connection.execute(insert, {"slot": old, "at": old})
    waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'"
    with ThreadPoolExecutor(1) as pool, context.engine.connect() as writer:
        writer.execute(insert, {"slot": now, "at": now})
        purging = pool.submit(retention.purge, context, dry_run=False, kinds=["video-statistics"])
        wait_until(lambda: value(context, waits) == 1, "the purge to wait")
        at = old if is_due else now
        writer.execute(insert, {"slot": old + timedelta(hours=1), "at": at})
        writer.commit()
        found = purging.result(timeout=60).kinds[0]
    assert found.partitions == (["video_snapshots_2026_01_05"] if is_due else [])
    assert value(context, "SELECT count(*) FROM video_snapshots") == (1 if is_due else 2)
