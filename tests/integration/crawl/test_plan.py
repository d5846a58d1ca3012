"""Plans: what they say, and that the offline YouTube charges what they foretold."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from services.context import Context
from services.crawl.plan import plan_assumed, plan_watched
from services.emulator.synthetic import synthetic_catalog
from services.tick import dispatch
from tests.support.crawl import NOW, Crawl, TurnableClock, offline_crawl

DAY = timedelta(days=1)
SPREAD = """
    UPDATE work_items
    SET slot = slot - h * interval '1 hour', ready_at = slot - h * interval '1 hour'
    FROM (
        SELECT kind AS k, entity_id AS e, row_number() OVER (ORDER BY kind, entity_id) % 24 AS h
        FROM work_items
    ) spread
    WHERE kind = k AND entity_id = e AND slot IS NOT NULL AND state = 'due'
"""


@pytest.fixture
def idle(context: Context):
    """A context at a fixed moment; planning an assumption reads nothing but settings."""
    context.clock = TurnableClock(NOW)
    return context


def uses(plan) -> dict[tuple[str, str], int]:
    return {(use.bucket, use.purpose): use.units for use in plan.uses}


def test_an_assumed_installation_is_planned_for_the_next_pacific_day(idle: Context):
    plan = plan_assumed(idle, channels=200, videos=10_000, uploads_per_day=60)
    assert plan.start == datetime(2026, 7, 16, 7, tzinfo=UTC)
    assert plan.end - plan.start == DAY
    assert (plan.fits, plan.waits_from, plan.stretch) == (True, None, 1.0)
    counted = {r.what: (r.count, r.every, r.per_day) for r in plan.refreshes}
    assert counted["channels: uploads"] == (200, "1d", 200.0)
    assert counted["videos younger than 2d"] == (120, "6h", 480.0)
    assert counted["videos younger than 14d"] == (720, "1d", 720.0)
    assert counted["older videos"] == (4_600, "30d", 153.3)
    assert sum(r.count for r in plan.refreshes if "videos" in r.what) == 10_000
    # 2,004 counts a day lie in 24 hours: two calls in each.
    assert uses(plan)["batchGetStats", "statistics"] == 48


def test_a_day_of_25_hours_is_planned_as_one(idle: Context):
    idle.clock = TurnableClock(datetime(2026, 10, 31, 12, tzinfo=UTC))
    plan = plan_assumed(idle, channels=1, videos=1, uploads_per_day=0)
    assert plan.end - plan.start == timedelta(hours=25)


def test_too_much_is_told_with_the_moment_and_the_stretch_that_fits(idle: Context):
    size = {"channels": 2_000, "videos": 3_000_000, "uploads_per_day": 30_000}
    plan = plan_assumed(idle, **size)
    assert not plan.fits
    assert plan.waits_from is not None
    assert plan.start < plan.waits_from < plan.end
    assert plan.stretch is not None
    policy = idle.cadence
    assert policy.shorts is None
    idle.__dict__["cadence"] = replace(
        policy,
        discovery_every=policy.discovery_every * plan.stretch,
        channel_every=policy.channel_every * plan.stretch,
        videos=tuple(replace(s, every=s.every * plan.stretch) for s in policy.videos),
    )
    stretched = plan_assumed(idle, **size)
    assert stretched.unmet <= plan.unmet / 20


def test_more_units_are_a_way_out_and_none_are_none(idle: Context):
    size = {"channels": 30_000, "videos": 30_000, "uploads_per_day": 0}
    assert not plan_assumed(idle, **size).fits
    assert plan_assumed(idle, **size, units=50_000).fits
    nothing = plan_assumed(idle, **size, units=0)
    assert (nothing.fits, nothing.stretch) == (False, None)


def test_discovery_waits_for_the_end_of_the_shares_and_not_for_midnight(idle: Context):
    plan = plan_assumed(idle, channels=6_000, videos=6_000, uploads_per_day=0)
    assert plan.fits
    assert plan.waits_from is not None
    assert plan.waits_from - plan.start == timedelta(hours=12)  # 250 an hour of a share of 3,000


def a_day_of(crawl: Crawl) -> None:
    """Let 24 hours pass, dispatching a little after each full hour."""
    end = crawl.clock.now + DAY
    while crawl.clock.now < end:
        while dispatch(crawl.context):
            pass
        crawl.turn(hours=1)


def test_a_simulated_day_costs_what_was_planned_within_a_tenth(context: Context):
    # Published over three months, so that steps of the cadence occur; some still to come.
    catalog = synthetic_catalog(seed=4, epoch=NOW, channels=30, videos=1_000)
    mixed = random.Random(4).sample(list(catalog.videos.values()), 1_000)
    spread = {
        video.video_id: replace(video, published_at=NOW + timedelta(hours=72 - 3 * i))
        for i, video in enumerate(mixed)
    }
    catalog = replace(catalog, videos=spread)
    with offline_crawl(context, catalog) as crawl:
        crawl.queue.loses = lambda name: name.startswith("media")
        with crawl.context.engine.begin() as connection:
            connection.execute(text("DELETE FROM work_items WHERE kind = 'video.thumbnail'"))
        crawl.settle()
        with crawl.context.engine.begin() as connection:
            # As if found in all hours of a day.
            connection.execute(text(SPREAD))
        crawl.turn(minutes=7)
        a_day_of(crawl)  # by now the slots are where the cadence puts them
        before = charged(crawl)
        plan = plan_watched(crawl.context)
        a_day_of(crawl)
        spent = {bucket: n - before.get(bucket, 0) for bucket, n in charged(crawl).items()}
        with crawl.context.engine.begin() as connection:
            connection.execute(text("UPDATE channels SET paused_at = now()"))
        assert not any(use.units for use in plan_watched(crawl.context).uses)
    planned = {"units": 0, "stats": 0}
    for use in plan.uses:
        planned["units" if use.bucket == "units" else "stats"] += use.units
    assert plan.fits
    assert min(spent.values()) > 20
    for bucket, units in planned.items():
        assert units == pytest.approx(spent[bucket], rel=0.1), (bucket, planned, spent)


def charged(crawl: Crawl) -> dict[str, int]:
    total: dict[str, int] = {}
    for (_, bucket), n in crawl.charged().items():
        total[bucket] = total.get(bucket, 0) + n
    return total


def test_walks_to_the_end_and_feeds_count(idle: Context):
    size = {"channels": 200, "videos": 200 * 1_000, "uploads_per_day": 60}
    found = uses(plan_assumed(idle, **size))["units", "discovery"]
    # A look at each channel a day, a second page where there is news, 19 more of each once a month.
    assert found == pytest.approx(200 + 200 * (1 - 2.718**-0.3) + 200 * 19 / 30, abs=3)
    idle.settings = idle.settings.model_copy(update={"feed_hints": True})
    hinted = uses(plan_assumed(idle, **size))["units", "discovery"]
    # Two pages for each of the 60 uploads, one every three days without any.
    assert hinted == pytest.approx(2 * 60 + 200 / 3 + 200 * 19 / 30, abs=5)


def test_a_walk_to_the_end_is_foretold_when_its_month_is_over(context: Context):
    catalog = synthetic_catalog(seed=4, epoch=NOW, channels=2, videos=300)
    with offline_crawl(context, catalog) as crawl:
        crawl.run()
        crawl.turn(days=1)
        before = uses(plan_watched(crawl.context, uploads_per_day=0))["units", "discovery"]
        with context.engine.begin() as connection:
            month_ago = "UPDATE channels SET walked_at = walked_at - interval '30 days'"
            connection.execute(text(month_ago))
        after = uses(plan_watched(crawl.context, uploads_per_day=0))["units", "discovery"]
    pages = sum(-(-len(catalog.uploads(c, NOW)) // 50) for c in catalog.channels)
    assert after - before == pages - 2
