"""Answers that are wrong for everybody: a network's login page, an API without items, refusals."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from services.context import Context
from services.emulator.catalog import Catalog
from services.emulator.faults import CALLS, FaultPlan
from services.emulator.synthetic import synthetic_catalog
from services.work import breakers
from tests.support.crawl import (
    NOW,
    Crawl,
    newest_counts,
    offline_crawl,
    rows,
    true_counts,
    value,
    without_channel,
)
from tests.support.emulator import fetch


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return synthetic_catalog(seed=6, epoch=NOW, channels=3, videos=45, hidden_share=0.2)


def strike(crawl: Crawl, rates: Mapping[str, Mapping[str, float]]) -> None:
    """Have the offline YouTube answer like that from now on; with no rates, rightly again."""
    plan = FaultPlan.model_validate({"rates": rates})
    assert fetch(f"{crawl.url}/emulator/faults", data=plan.model_dump_json().encode()).status == 200
    crawl.context.youtube._wait = lambda _seconds: None


def hours(crawl: Crawl, n: float, *, step: float = 1) -> None:
    for _ in range(round(n / step)):
        crawl.turn(hours=step)
        crawl.settle()


def failed(context: Context) -> list[tuple[object, ...]]:
    return rows(
        context,
        "SELECT kind, error_reason, count(*) FROM work_items WHERE state = 'failed' GROUP BY 1, 2",
    )


def breaker(crawl: Crawl, host: str) -> breakers.BreakerView:
    return next(b for b in breakers.listed(crawl.context) if b.host == host)


def slow(*values: str) -> Any:
    """One more of a kind, for the slow tests."""
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("portal", "redirectRefused"),
        slow("html", "malformedAnswer"),
        ("not_found", "thumbnailMissing"),
        slow("forbidden", "http403"),
        slow("bad_request", "http400"),
        slow("pixel", "imageTooSmall"),
    ],
)
def test_thumbnails_outlast_a_day_of_wrong_answers(
    context: Context, catalog: Catalog, fault: str, reason: str
):
    with offline_crawl(context, catalog) as crawl:
        strike(crawl, {"thumbnails": {fault: 1}})
        crawl.settle()
        hours(crawl, 24)
        said = breaker(crawl, "thumbnails")
        assert (said.state, said.reason) == ("open", reason)
        assert failed(context) == []
        assert value(context, "SELECT count(*) FROM video_thumbnails") == 0
        strike(crawl, {})
        hours(crawl, 7)
        assert breaker(crawl, "thumbnails").state == "closed"
    assert value(context, "SELECT count(*) FROM video_thumbnails") == len(catalog.videos)
    assert failed(context) == []


@pytest.mark.parametrize(
    "fault", ["nothing", *map(slow, ("not_found", "forbidden", "bad_request", "portal"))]
)
def test_an_api_that_is_wrong_for_everybody_ends_and_hides_nothing(
    context: Context, catalog: Catalog, fault: str
):
    """Thirty hours, and once more seven hours after it was right in between."""
    with offline_crawl(context, catalog) as crawl:
        crawl.settle()
        crawl.turn(hours=1)
        for length, right in ((30, 7), (9, 30)):
            strike(crawl, {call: {fault: 1} for call in CALLS})
            crawl.run()
            hours(crawl, length)
            assert breaker(crawl, "data-api").state == "open"
            strike(crawl, {})
            hours(crawl, right)
        assert breaker(crawl, "data-api").state == "closed"
        assert failed(context) == []
        assert rows(context, "SELECT DISTINCT state FROM channels") == [("active",)]
        assert rows(context, "SELECT DISTINCT state FROM videos") == [("public",)]
        assert value(context, "SELECT count(*) FROM work_items WHERE error_at IS NOT NULL") == 0
        crawl.run()
        assert newest_counts(context) == true_counts(crawl.truth())


@pytest.mark.parametrize("call", ["channels.list", "playlistItems.list", "videos.list"])
@pytest.mark.parametrize("fault", ["nothing", slow("not_found")])
def test_one_method_that_is_wrong_while_the_others_are_right_ends_nothing(
    context: Context, catalog: Catalog, call: str, fault: str
):
    with offline_crawl(context, catalog) as crawl:
        crawl.settle()
        strike(crawl, {call: {fault: 1}})
        hours(crawl, 48, step=3)
        assert failed(context) == []
        assert rows(context, "SELECT DISTINCT state FROM channels") == [("active",)]
        assert rows(context, "SELECT DISTINCT state FROM videos") == [("public",)]


def test_a_deleted_video_is_gone_without_anybodys_asking(context: Context, catalog: Catalog):
    video = next(iter(catalog.videos.values()))
    deleted = replace(video, deleted_at=NOW + timedelta(minutes=30))
    world = replace(catalog, videos={**catalog.videos, video.video_id: deleted})
    with offline_crawl(context, world) as crawl:
        crawl.settle()
        crawl.turn(hours=1)
        crawl.run()
        assert rows(context, "SELECT video_id FROM videos WHERE state = 'gone'") == []
        hours(crawl, 48)
        assert failed(context) == [("video.snapshot", "videoGone", 1)]
        gone = rows(context, "SELECT video_id FROM videos WHERE state = 'gone'")
        assert gone == [(video.video_id,)]
        hours(crawl, 24 * 30, step=24)  # other thumbnails are asked for once in a while only
    assert sorted(failed(context)) == [
        ("video.snapshot", "videoGone", 1),
        ("video.thumbnail", "thumbnailMissing", 1),
    ]


def test_a_deleted_channel_is_gone_with_all_its_videos(context: Context, catalog: Catalog):
    channel_id = min(catalog.channels)
    with offline_crawl(context, catalog) as crawl:
        crawl.settle()
        clock = crawl.clock
    without = without_channel(catalog, channel_id)
    with offline_crawl(context, without, clock=clock, watch=False) as crawl:
        crawl.turn(hours=1)
        crawl.run()
        assert rows(context, "SELECT 1 FROM videos WHERE state = 'gone'") == []
        hours(crawl, 72, step=6)
    assert rows(context, "SELECT channel_id FROM channels WHERE state = 'gone'") == [(channel_id,)]
    gone = rows(context, "SELECT channel_id, count(*) FROM videos WHERE state = 'gone' GROUP BY 1")
    assert gone == [(channel_id, len(catalog.uploads(channel_id, NOW)))]


def test_an_empty_feed_is_no_word_on_its_channel(context: Context, catalog: Catalog):
    newest = max(catalog.videos.values(), key=lambda video: video.published_at)
    fresh = replace(newest, video_id="freshfreshf", published_at=NOW + timedelta(hours=2))
    world = replace(catalog, videos={**catalog.videos, fresh.video_id: fresh})
    with offline_crawl(context, world, settings={"feed_hints": True}) as crawl:
        crawl.settle()
        strike(crawl, {"feeds": {"nothing": 1}})
        hours(crawl, 26)
    assert value(context, "SELECT count(*) FROM videos WHERE video_id = 'freshfreshf'") == 1
