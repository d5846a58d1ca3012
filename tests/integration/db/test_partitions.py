"""Partitions are made ahead, by any number of workers at once."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier

import pytest
from sqlalchemy import Connection, text

from db import ddl
from db.partitions import ensure_partitions
from services.context import Context
from tests.support.crawl import value


def test_many_workers_make_the_same_partitions_at_once(context: Context):
    start, together = datetime(2031, 1, 31, tzinfo=UTC), Barrier(4)

    def make(_: int) -> list[str]:
        with context.engine.begin() as connection:
            together.wait(30)
            return ensure_partitions(connection, start=start)

    with ThreadPoolExecutor(4) as pool:
        made = [name for names in pool.map(make, range(4)) for name in names]
    assert sorted(made) == [f"video_snapshots_2031_{month:02}" for month in range(1, 5)]
    query = "SELECT count(*) FROM pg_inherits WHERE inhrelid::regclass::text LIKE '%s_2031___'"
    assert value(context, query) == 4


def test_neither_readers_nor_a_writer_hold_a_new_partition_up(context: Context):
    with context.engine.connect() as reader, context.engine.connect() as writer:
        reader.execute(text("SELECT count(*) FROM video_snapshots"))
        writer.execute(text("LOCK TABLE video_snapshots IN ROW EXCLUSIVE MODE"))
        with context.engine.begin() as connection:
            # Given up at once if it ever had to wait.
            connection.execute(text("SET LOCAL lock_timeout = '1ms'"))
            made = ensure_partitions(connection, start=datetime(2032, 1, 1, tzinfo=UTC))
            assert connection.execute(text("SHOW lock_timeout")).scalar_one() == "1ms"
    assert len(made) == 4


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
