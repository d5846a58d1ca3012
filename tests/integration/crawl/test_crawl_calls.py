"""How many calls of the Data API a crawl takes."""

from datetime import timedelta

import pytest

from db.queries.work import crawled
from services.context import Context
from services.crawl import intake
from services.emulator.catalog import Catalog
from services.emulator.synthetic import synthetic_catalog
from tests.support.crawl import (
    NOW,
    offline_crawl,
    value,
)


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return synthetic_catalog(seed=3, epoch=NOW, channels=3, videos=120, hidden_share=0.4)


def test_a_thousand_videos_are_refreshed_for_twenty_units(context: Context):
    catalog = synthetic_catalog(seed=8, epoch=NOW, channels=90, videos=1_000)
    with offline_crawl(context, catalog) as crawl:
        crawl.queue.loses = lambda name: name.startswith("media")
        crawl.settle()
        before, asked = crawl.charged(), crawl.served()["videos.list"]
        with context.transaction() as session:
            later = NOW + timedelta(minutes=30)
            crawled.make_due(session, kinds=["video.snapshot"], channel_ids=None, now=later)
        crawl.turn(minutes=30)
        crawl.settle()
        day = "2026-07-15"
        assert crawl.charged()[day, "stats"] - before.get((day, "stats"), 0) == 20
        assert crawl.charged()[day, "units"] == before[day, "units"]
        assert crawl.served()["videos.list"] == asked
    assert value(context, "SELECT count(*) FROM video_snapshots") == 2_000


def test_videos_found_minutes_apart_share_their_later_calls(context: Context, catalog: Catalog):
    with offline_crawl(context, catalog, watch=False) as crawl:
        for channel_id in catalog.channels:
            intake.add_all(crawl.context, [channel_id])
            crawl.settle()
            crawl.turn(minutes=7)
        assert "videos.batchGetStats" not in crawl.served()
        crawl.clock.now = NOW + timedelta(days=40)
        for _ in range(13):
            crawl.turn(minutes=5)
            crawl.settle()
        assert crawl.served()["videos.batchGetStats"] == {"200": 3}
