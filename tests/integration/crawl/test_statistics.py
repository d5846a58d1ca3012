"""Statistics over time: which bucket pays, what is stored, when the next is due."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from sqlalchemy import text

from db.queries.work import crawled
from services.context import Context
from services.emulator.catalog import Catalog
from services.emulator.quota import Quotas
from services.emulator.synthetic import synthetic_catalog
from services.youtube.view_counts import view_definition
from tests.support.crawl import NOW, TurnableClock, offline_crawl, rows, value

CHANNEL = "UC" + "a" * 22


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return synthetic_catalog(seed=5, epoch=NOW, channels=4, videos=120)


def by_account(context: Context) -> dict[tuple[str, str], int]:
    found = rows(context, "SELECT bucket, purpose, sum(units)::int FROM quota_usage GROUP BY 1, 2")
    return {(bucket, purpose): units for bucket, purpose, units in found if units}


def test_every_unit_is_booked_for_its_purpose(context: Context, catalog: Catalog):
    pages = sum(-(-len(catalog.uploads(c, NOW)) // 50) for c in catalog.channels)
    with offline_crawl(context, catalog) as crawl:
        crawl.run()
        assert by_account(context) == {
            ("units", "adHoc"): 1,  # to add the channels
            ("units", "discovery"): pages,
            ("units", "statistics"): 1 + 3,  # the channels' counters, 120 new videos
        }
        crawl.turn(hours=2)
        crawl.run()
    assert by_account(context)["batchGetStats", "statistics"] == 3
    assert by_account(context)["units", "statistics"] == 1 + 3 + 1


@pytest.mark.parametrize("left", [0, 2])
def test_the_shared_bucket_pays_when_the_other_is_empty(
    context: Context, catalog: Catalog, left: int
):
    with offline_crawl(context, catalog, quotas=Quotas(stats=left)) as crawl:
        crawl.run()
        before = by_account(context)["units", "statistics"]
        crawl.turn(hours=2)
        assert crawl.run().state == "succeeded"
        assert crawl.charged().get(("2026-07-15", "stats"), 0) == left
        # Counters of the channels are one unit; what the other bucket lacked is the rest.
        assert by_account(context)["units", "statistics"] - before == 1 + (3 - left)
    assert value(context, "SELECT count(*) FROM video_snapshots") == 240


@pytest.mark.parametrize("now", [NOW, datetime(2026, 11, 15, 12, tzinfo=UTC)])
def test_each_snapshot_carries_the_definition_in_force(context: Context, now: datetime):
    catalog = synthetic_catalog(seed=5, epoch=now, channels=4, videos=120)
    with offline_crawl(context, catalog, clock=TurnableClock(now)) as crawl:
        crawl.run()
    found = rows(
        context,
        "SELECT format, view_definition, captured_at FROM video_snapshots "
        "JOIN videos USING (video_id)",
    )
    assert len(found) == 120
    for video_format, definition, captured_at in found:
        assert definition == view_definition(captured_at, video_format)
    if now > NOW:
        assert {row[1] for row in found} == {"started"}


def test_the_cadence_of_the_operator_decides_when_the_next_is_due(
    context: Context, catalog: Catalog, tmp_path
):
    file = tmp_path / "cadence.toml"
    file.write_text(
        'discovery_every = "3d"\nchannel_every = "12h"\n'
        '[[videos]]\nyounger_than = "50d"\nevery = "5h"\n[[videos]]\nevery = "50h"\n'
    )
    with offline_crawl(context, catalog, settings={"cadence": file}) as crawl:
        crawl.run()
        due = dict(
            rows(
                context,
                "SELECT kind, array_agg(DISTINCT slot) FROM work_items "
                "WHERE kind LIKE 'channel.%' GROUP BY 1",
            )
        )
        assert due["channel.discover"] == [NOW + timedelta(days=3)]
        assert due["channel.snapshot"] == [NOW + timedelta(hours=12)]
        videos = rows(
            context,
            "SELECT published_at, slot FROM work_items JOIN videos ON video_id = entity_id "
            "WHERE kind = 'video.snapshot'",
        )
        for published_at, slot in videos:
            young = NOW - published_at < timedelta(days=50)
            assert slot - NOW == timedelta(hours=5 if young else 50)
        assert len({slot for _, slot in videos}) == 2


def test_subscribers_are_an_interval(context: Context):
    counts = [0, 7, 999, 1_000, 9_990, 12_300, 999_000, 1_230_000, 2**63 - 1]
    with context.engine.begin() as connection:
        connection.execute(
            text("INSERT INTO channels (channel_id, added_at) VALUES (:c, :now)"),
            {"c": CHANNEL, "now": NOW},
        )
        for hour, count in enumerate([*counts, None]):
            connection.execute(
                text(
                    "INSERT INTO channel_snapshots (channel_id, slot, captured_at, "
                    "subscriber_count) VALUES (:c, :slot, :slot, :n)"
                ),
                {"c": CHANNEL, "slot": NOW + timedelta(hours=hour), "n": count},
            )
    found = rows(
        context,
        "SELECT subscriber_count, subscriber_count_high FROM channel_snapshots ORDER BY slot",
    )
    assert [high for _, high in found] == [
        *(0, 7, 999, 1_009, 9_999, 12_399, 999_999, 1_239_999, 2**63 - 1, None)
    ]


def test_the_intervals_of_neighbouring_counts_meet_and_do_not_overlap(context: Context):
    """12,399 ends where 12,400 begins: each true number lies in the interval of one count."""
    shown = [*range(995, 1_000), *range(1_000, 10_000, 10), *range(10_000, 100_000, 100)]
    with context.engine.begin() as connection:
        connection.execute(
            text("INSERT INTO channels (channel_id, added_at) VALUES (:c, :now)"),
            {"c": CHANNEL, "now": NOW},
        )
        connection.execute(
            text(
                "INSERT INTO channel_snapshots (channel_id, slot, captured_at, subscriber_count) "
                "SELECT :c, CAST(:now AS timestamptz) + n * interval '1 hour', :now, n "
                "FROM unnest(CAST(:shown AS bigint[])) n"
            ),
            {"c": CHANNEL, "now": NOW, "shown": shown},
        )
    found = rows(
        context, "SELECT subscriber_count, subscriber_count_high FROM channel_snapshots ORDER BY 1"
    )
    for (_, high), (low, _) in pairwise(found):
        assert high + 1 == low


def test_each_snapshot_carries_the_moment_its_own_call_was_answered(
    context: Context, catalog: Catalog
):
    class Ticking(TurnableClock):
        def __call__(self) -> datetime:
            self.advance(timedelta(milliseconds=1))
            return self.now

    with offline_crawl(context, catalog, clock=Ticking()) as crawl:
        crawl.run()
        crawl.turn(hours=2)
        crawl.run()
    # The second time all are due at once: 120 videos are three calls.
    newest = "SELECT count(*) FROM video_snapshots GROUP BY captured_at ORDER BY captured_at DESC"
    assert rows(context, f"{newest} LIMIT 3") == [(20,), (50,), (50,)]


def test_what_was_never_read_is_put_off_when_only_counts_can_be_paid(
    context: Context, catalog: Catalog
):
    with offline_crawl(context, catalog) as crawl:
        crawl.run()
        with crawl.context.engine.begin() as connection:
            connection.execute(
                text(
                    "UPDATE videos SET refreshed_at = NULL "
                    "WHERE video_id IN (SELECT video_id FROM videos ORDER BY 1 LIMIT 70)"
                )
            )
        crawl.turn(hours=2)
        start = by_account(context)
        used_up = {"youtube_daily_units": sum(n for (b, _), n in start.items() if b == "units")}
        crawl.context.settings = crawl.context.settings.model_copy(update=used_up)
        with context.transaction() as session:
            kinds = ["video.snapshot"]
            crawled.make_due(session, kinds=kinds, channel_ids=None, now=crawl.clock())
        before = len(crawl.queue.sent)
        crawl.settle()
        waiting = rows(
            context,
            "SELECT error_reason, count(*), min(ready_at) FROM work_items "
            "WHERE kind = 'video.snapshot' AND slot <= :now GROUP BY 1",
            now=crawl.clock(),
        )
        # Until midnight in Los Angeles.
        assert waiting == [("quotaExceeded", 70, datetime(2026, 7, 16, 7, tzinfo=UTC))]
        assert [name for name, _ in crawl.queue.sent[before:]].count("crawl.snapshot_videos") == 1
    assert by_account(context) == start | {("batchGetStats", "statistics"): 1}


@pytest.mark.parametrize("read_ago", [timedelta(hours=2), timedelta(days=2)])
def test_a_live_state_that_is_a_new_word_costs_no_video_its_counts(
    context: Context, catalog: Catalog, read_ago: timedelta
):
    with offline_crawl(context, catalog) as crawl:
        crawl.run()
        crawl.turn(hours=2)
        with crawl.context.engine.begin() as connection:
            connection.execute(
                text("UPDATE videos SET live_broadcast_content = NULL, refreshed_at = :at"),
                {"at": crawl.clock() - read_ago},
            )
        start = by_account(context)
        used_up = {"youtube_daily_units": sum(n for (b, _), n in start.items() if b == "units")}
        crawl.context.settings = crawl.context.settings.model_copy(update=used_up)
        with context.transaction() as session:
            kinds = ["video.snapshot"]
            crawled.make_due(session, kinds=kinds, channel_ids=None, now=crawl.clock())
        crawl.settle()
        left = "SELECT count(*) FROM work_items WHERE kind = 'video.snapshot' AND slot <= :now"
        assert value(context, left, now=crawl.clock()) == 0
    assert by_account(context) == start | {("batchGetStats", "statistics"): 3}
