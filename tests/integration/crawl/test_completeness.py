"""Completeness: what the cadence demanded, what was collected, and why not, day by day."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from services.context import Context
from services.crawl import completeness, watchlist
from services.crawl.completeness import Completeness
from services.emulator.catalog import Catalog
from services.emulator.synthetic import synthetic_catalog
from services.work import pauses
from tests.support.cli import settings_of, tubegrader
from tests.support.crawl import NOW, Crawl, offline_crawl, rows, value

START = NOW - timedelta(days=1)


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return synthetic_catalog(seed=11, epoch=NOW, channels=2, videos=30)


def days(crawl: Crawl, n: int) -> None:
    for _ in range(4 * n):
        crawl.turn(hours=6)
        crawl.settle()


def report(crawl: Crawl, channel: str | None = None) -> Completeness:
    day = START.replace(hour=0, minute=0, second=0, microsecond=0)
    whole = completeness.report(crawl.context, channel=channel, since=day)
    # What the page shows says the same where it shows all channels.
    found = completeness.worst(crawl.context, channel=channel, since=day.date(), most=200)
    assert in_order(found.all) == in_order(whole)
    return completeness.report(crawl.context, channel=channel, since=START)


def in_order(found: Completeness) -> dict[str, object]:
    days = sorted(found.days, key=lambda d: (d["day"], d["channel_id"], d["kind"]))
    return found.as_json() | {"days": days}


def by_day(found: Completeness, kind: str = "channel.snapshot") -> dict[date, tuple[int, int]]:
    """Expected and collected."""
    result: dict[date, tuple[int, int]] = {}
    for day in found.days:
        if day["kind"] == kind:
            before = result.get(day["day"], (0, 0))
            result[day["day"]] = (before[0] + day["expected"], before[1] + day["collected"])
    return result


def test_a_crawl_that_goes_well_is_complete_and_writes_nothing_about_it(
    context: Context, catalog: Catalog
):
    with offline_crawl(context, catalog) as crawl:
        days(crawl, 6)
        found = report(crawl)
        assert found.share == 1.0
        assert found.reasons == found.not_listed == {}
        assert set(by_day(found).values()) == {(2, 2)}
        assert found.collected == value(context, "SELECT count(*) FROM video_snapshots") + value(
            context, "SELECT count(*) FROM channel_snapshots"
        )
    assert value(context, "SELECT count(*) FROM missed_slots") == 0


def test_days_without_a_worker_are_overdue_then_and_for_ever(context: Context, catalog: Catalog):
    with offline_crawl(context, catalog) as crawl:
        days(crawl, 2)
        crawl.turn(days=4)
        down = report(crawl)
        assert set(down.reasons) == {"overdue"}
        assert set(down.not_listed) == {"overdue"}
        gap = {NOW.date() + timedelta(days=d): (2, 0) for d in (3, 4, 5)}
        assert gap.items() <= by_day(down).items()
        days(crawl, 2)
        after = report(crawl)
        assert set(after.reasons) == {"overdue"}
        # The first slot of the gap was collected late; the others were skipped and are noted.
        assert after.late > 0
        counted = by_day(after)
        assert counted[NOW.date() + timedelta(days=3)] == (2, 2)
        assert counted[NOW.date() + timedelta(days=4)] == (2, 0)
        assert counted[NOW.date() + timedelta(days=7)] == (2, 2)
        missed = rows(context, "SELECT first_slot, last_slot FROM missed_slots")
        assert all(first <= last for first, last in missed)


def test_every_slot_is_collected_or_missing_once(context: Context, catalog: Catalog):
    """Expected = one a day for each channel, whatever happened in between."""
    with offline_crawl(context, catalog) as crawl:
        for gap in (1, 3, 1, 2, 5, 1):
            crawl.turn(days=gap)
            crawl.settle()
        crawl.turn(days=2, hours=5)
        found = by_day(report(crawl))
    assert sorted(found) == [NOW.date() + timedelta(days=d) for d in range(16)]
    assert {expected for expected, _ in found.values()} == {2}


def test_a_paused_channel_has_gaps_with_that_reason_and_the_other_none(
    context: Context, catalog: Catalog
):
    paused, other = sorted(catalog.channels)
    with offline_crawl(context, catalog) as crawl:
        days(crawl, 1)
        watchlist.set_paused(crawl.context, [paused], paused=True)
        days(crawl, 4)
        assert set(report(crawl, paused).reasons) == {"paused"}
        assert report(crawl, other).share == 1.0
        watchlist.set_paused(crawl.context, [paused], paused=False)
        days(crawl, 1)
        found = report(crawl, paused)
        assert set(found.reasons) == {"paused"}
        assert found.share is not None
        assert found.share < 1


def test_a_used_up_quota_and_a_paused_queue_are_named(context: Context, catalog: Catalog):
    with offline_crawl(context, catalog) as crawl:
        days(crawl, 2)
        pauses.pause(crawl.context, "crawl")
        crawl.turn(hours=30)
        crawl.settle()
        today = [d for d in report(crawl).days if d["day"] == crawl.clock.now.date()]
        assert {reason for day in today for reason in day["reasons"]} == {"paused"}


@pytest.mark.parametrize("scope", ["crawl", "everything"])
def test_a_pause_that_was_lifted_is_the_reason_of_its_gap(
    context: Context, catalog: Catalog, scope: str
):
    with offline_crawl(context, catalog) as crawl:
        days(crawl, 2)
        pauses.pause(crawl.context, scope)
        days(crawl, 3)
        assert set(report(crawl).reasons) == {"paused"}
        pauses.resume(crawl.context, scope)
        days(crawl, 2)
        found = report(crawl)
        assert set(found.reasons) == {"paused"}
        assert found.share is not None
        assert 0.5 < found.share < 1


def test_a_failure_is_the_reason_until_it_is_over(context: Context, catalog: Catalog):
    with offline_crawl(context, catalog) as crawl:
        days(crawl, 1)
        with context.engine.begin() as connection:
            connection.exec_driver_sql(
                "UPDATE work_items SET state = 'failed', ready_at = NULL, error_kind = 'permanent',"
                " error_reason = 'countTooLarge' WHERE kind = 'channel.snapshot'"
            )
        days(crawl, 3)
        assert report(crawl).reasons["countTooLarge"] >= 4
        crawl.run()
        assert report(crawl).reasons["countTooLarge"] >= 4


def test_what_youtube_no_longer_shows_is_no_gap(context: Context, catalog: Catalog):
    with offline_crawl(context, catalog) as crawl:
        days(crawl, 1)
        clock = crawl.clock
    some = dict(list(catalog.videos.items())[3:])
    world = replace(catalog, videos=some)
    with offline_crawl(context, world, clock=clock, watch=False) as crawl:
        days(crawl, 35)
        assert value(context, "SELECT count(*) FROM videos WHERE state = 'gone'") == 3
        assert report(crawl).reasons == {}


def test_a_video_found_days_late_was_missing_until_then(context: Context, catalog: Catalog):
    with offline_crawl(context, catalog) as crawl:
        days(crawl, 1)
        with context.engine.begin() as connection:
            connection.exec_driver_sql(
                "UPDATE videos SET published_at = %s, first_seen_at = %s WHERE video_id = "
                "(SELECT min(video_id) FROM videos)",
                (NOW + timedelta(hours=1), NOW + timedelta(days=3, hours=4)),
            )
        crawl.turn(days=4)
        assert report(crawl).reasons["notDiscovered"] == 3


def test_the_command_and_the_views_say_the_same(context: Context, catalog: Catalog):
    with offline_crawl(context, catalog) as crawl:
        days(crawl, 2)
    now = datetime.now(UTC)
    env = settings_of(context)
    since = f"{START:%Y-%m-%d}"
    found = json.loads(tubegrader("completeness", "--since", since, "--json", env=env).out)
    if now > NOW + timedelta(days=10):
        assert found["reasons"]["overdue"] > 0
    [(expected, collected)] = rows(
        context, "SELECT sum(expected), sum(collected) FROM completeness"
    )
    assert collected == found["collected"]
    assert abs(int(expected) - found["expected"]) <= 30  # an hour may have struck between
    assert rows(context, "SELECT sum(n_slots) > 0 FROM completeness_gaps") == [(True,)]
    shown = tubegrader("completeness", "--since", since, env=env)
    assert "missing: overdue" in shown.out


def test_the_worst_channels_are_told_in_detail_and_all_are_added_up(
    context: Context, catalog: Catalog
):
    with offline_crawl(context, catalog) as crawl:
        days(crawl, 1)
        worse, better = sorted(catalog.channels)
        watchlist.set_paused(crawl.context, [worse], paused=True)
        days(crawl, 3)
        whole = completeness.worst(crawl.context, since=START.date(), most=2)
        found = completeness.worst(crawl.context, since=START.date(), most=1)
        assert {day["channel_id"] for day in found.all.days} == {worse}
        assert {day["channel_id"] for day in whole.all.days} == {worse, better}
        assert found.channels == whole.channels == 2
        assert found.all.as_json() | {"days": []} == whole.all.as_json() | {"days": []}
        assert found.all.reasons["paused"] > 0
