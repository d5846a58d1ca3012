"""How a crawl that is under way is looked at, and taken back: part by part."""

import time
from typing import Any

import pytest

from services.context import Context
from services.crawl import runs
from services.emulator.synthetic import synthetic_catalog
from services.work import jobs
from tests.support.crawl import NOW, offline_crawl, rows, value


def test_a_crawl_that_takes_long_to_count_ends_though_the_clock_stands_still(
    context: Context, monkeypatch: pytest.MonkeyPatch
):
    count = runs.progress

    def slowly(*args: Any, **kwargs: Any) -> Any:
        time.sleep(0.1)
        return count(*args, **kwargs)

    monkeypatch.setattr(runs, "progress", slowly)
    catalog = synthetic_catalog(seed=3, epoch=NOW, channels=1, videos=5)
    with offline_crawl(context, catalog) as crawl:
        assert crawl.run().state == "succeeded"


def test_what_is_over_of_a_crawl_is_not_counted_again(
    context: Context, monkeypatch: pytest.MonkeyPatch
):
    counted: list[str] = []
    count = runs.progress

    def noting(*args: Any, channel_ids: list[str], **kwargs: Any) -> Any:
        counted.extend(channel_ids)
        return count(*args, channel_ids=channel_ids, **kwargs)

    monkeypatch.setattr(runs, "progress", noting)
    catalog = synthetic_catalog(seed=3, epoch=NOW, channels=4, videos=20)
    ids = sorted(catalog.channels)
    with offline_crawl(context, catalog) as crawl:
        crawl.run()
        crawl.turn(hours=1)
        counted.clear()
        monkeypatch.setattr(runs, "ITEMS", 1)
        monkeypatch.setattr(runs, "COUNTING_S", 0.0)
        crawl.queue.loses = lambda _: True
        job_id = runs.start(crawl.context, ids)
        for _ in range(2 * len(ids)):
            runs.advance(crawl.context)
            crawl.turn(seconds=1)
        # One after the other, and the whole is known from the beginning.
        assert counted == [*ids, *ids][: len(counted)]
        under_way = jobs.view(crawl.context, job_id)
        assert (under_way.progress_done, under_way.progress_total) == (0, 2 * 20 + 2 * len(ids))
        crawl.queue.loses = lambda _: False
        crawl.turn(seconds=crawl.context.settings.lease_seconds + 1)
        counted.clear()
        crawl.settle()
        # What is left is done; and now each part is counted once more at most.
        done = len(counted)
        for _ in range(len(ids)):
            runs.advance(crawl.context)
        assert len(set(counted[done:])) == len(counted[done:]), "none twice"
        ended = jobs.view(crawl.context, job_id)
    assert ended.result == {"done": 2 * 20 + 2 * len(ids), "failed": 0, "failures": []}
    assert ended.progress_done == ended.progress_total == 2 * 20 + 2 * len(ids)
    assert value(context, "SELECT count(*) FROM crawl_parts") == 0


def test_a_crawl_that_an_earlier_release_began_is_counted_to_its_end(context: Context):
    catalog = synthetic_catalog(seed=3, epoch=NOW, channels=3, videos=12)
    with offline_crawl(context, catalog) as crawl:
        job_id = runs.start(crawl.context, sorted(catalog.channels))
        crawl.queue.loses = lambda _: True
        runs.advance(crawl.context)
        with crawl.context.engine.begin() as connection:
            connection.exec_driver_sql("DELETE FROM crawl_parts")
            connection.exec_driver_sql("UPDATE jobs SET steps = '{}'")
        crawl.queue.loses = lambda _: False
        crawl.settle()
        assert jobs.view(crawl.context, job_id).result == {"done": 30, "failed": 0, "failures": []}


def test_a_cancelled_crawl_is_taken_back_in_parts_and_goes_on_where_it_was_left(
    context: Context, monkeypatch: pytest.MonkeyPatch
):
    catalog = synthetic_catalog(seed=3, epoch=NOW, channels=4, videos=20)
    ids = sorted(catalog.channels)
    due = "SELECT DISTINCT channel_id FROM work_items WHERE state = 'due' AND ready_at <= :now"
    with offline_crawl(context, catalog) as crawl:
        crawl.run()
        crawl.turn(hours=1)
        crawl.queue.loses = lambda _: True
        job_id = runs.start(crawl.context, ids)
        runs.advance(crawl.context)
        jobs.cancel(crawl.context, job_id)
        monkeypatch.setattr(runs, "ITEMS", 1)
        monkeypatch.setattr(runs, "PARTS", 1)
        for left in (ids[1:], ids[2:], ids[3:]):
            runs.advance(crawl.context)
            found = {channel for (channel,) in rows(context, due, now=crawl.clock())}
            assert found == set(left)
            assert jobs.view(crawl.context, job_id).state == "running"
        runs.advance(crawl.context)
        assert rows(context, due, now=crawl.clock()) == []
        assert jobs.view(crawl.context, job_id).state == "cancelled"
    assert value(context, "SELECT count(*) FROM crawl_parts") == 0
