"""Partitions are made ahead, by any number of workers at once."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier

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
