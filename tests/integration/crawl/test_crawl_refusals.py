"""A crawl that YouTube does not let through: no quota, a wrong key, blocked, unreachable."""

from datetime import timedelta

import pytest

from services.cli.data import describe_crawl
from services.context import Context
from services.crawl import intake, runs
from services.crawl import odd as odd_values
from services.emulator.catalog import Catalog
from services.emulator.quota import Quotas
from services.emulator.synthetic import synthetic_catalog
from services.tick import dispatch
from services.work import jobs
from services.youtube.failures import ApiKeyError
from services.youtube.quota import reset_at
from tests.support.crawl import (
    KEY,
    NOW,
    Crawl,
    TurnableClock,
    counts,
    newest_counts,
    offline_crawl,
    rows,
    true_counts,
    value,
)
from tests.support.youtube import RESET, Reply, as_json, error_body, scripted_server

MIDNIGHT = reset_at(NOW)
NO_SHARES = dict.fromkeys(
    ("quota_share_discovery", "quota_share_statistics", "quota_share_ad_hoc"), 0.0
)
DAY, NEXT_DAY = "2026-07-15", "2026-07-16"


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return synthetic_catalog(seed=6, epoch=NOW, channels=4, videos=110)


def booked(context: Context) -> dict[tuple[str, str], int]:
    """Our own ledger, in the offline YouTube's words."""
    names = {"units": "units", "batchGetStats": "stats"}
    found = rows(
        context,
        "SELECT pacific_day, bucket, sum(units)::int FROM quota_usage "
        "WHERE units > 0 GROUP BY 1, 2",
    )
    return {(day.isoformat(), names[bucket]): units for day, bucket, units in found}


def finish_after_midnight(crawl: Crawl, job: jobs.JobView) -> None:
    """At midnight the job goes on by itself and everything is there, once."""
    crawl.clock.now = MIDNIGHT - timedelta(seconds=1)
    assert dispatch(crawl.context) == 0
    crawl.clock.now = MIDNIGHT
    crawl.settle()
    found = jobs.find(crawl.context, job.job_id)
    assert (found.state, found.waiting_until) == ("succeeded", None)
    assert found.result is not None
    assert (found.result["done"], found.result["failed"]) == (2 * 110 + 8, 0)
    # Some were read before midnight, so only which videos there are can be compared.
    assert {row[:3] for row in newest_counts(crawl.context)} == {
        row[:3] for row in true_counts(crawl.truth())
    }
    assert value(crawl.context, "SELECT count(*) FROM video_snapshots") == 110
    assert value(crawl.context, "SELECT count(*) FROM channel_snapshots") == 4


@pytest.mark.parametrize("limit", [1, 3, 6])
def test_an_empty_quota_parks_the_work_until_pacific_midnight(
    context: Context, catalog: Catalog, limit: int
):
    with offline_crawl(context, catalog, quotas=Quotas(units=limit)) as crawl:
        job = crawl.run()
        assert (job.state, job.waiting_until) == ("running", MIDNIGHT)
        assert job.progress_message is not None
        assert "quota (units) is used up until 2026-07-16 07:00 UTC" in job.progress_message
        assert crawl.charged() == {(DAY, "units"): limit}
        before = counts(context)
        crawl.turn(hours=1)
        crawl.settle()
        # Neither we nor YouTube is asked again for nothing.
        assert counts(context) == before
        assert crawl.charged() == {(DAY, "units"): limit}
        assert value(context, "SELECT count(*) FROM work_items WHERE state = 'failed'") == 0
        if limit == 6:  # four days of three units a day would take a test of their own
            finish_after_midnight(crawl, job)
            assert booked(context)[NEXT_DAY, "units"] == crawl.charged()[NEXT_DAY, "units"]


def test_our_own_limit_holds_before_youtubes(context: Context, catalog: Catalog):
    limits = {"youtube_daily_units": 7, **NO_SHARES}
    with offline_crawl(context, catalog, settings=limits) as crawl:
        job = crawl.run()
        assert (job.state, job.waiting_until) == ("running", MIDNIGHT)
        assert crawl.charged() == booked(context) == {(DAY, "units"): 7}
        assert crawl.served()["videos.list"] == {"200": 1}
        finish_after_midnight(crawl, job)
        assert crawl.charged() == booked(context)
        assert all(set(statuses) == {"200"} for statuses in crawl.served().values())


def test_the_ledger_agrees_with_youtubes_own_count(context: Context, catalog: Catalog):
    with offline_crawl(context, catalog) as crawl:
        crawl.run()
        crawl.turn(days=2)
        crawl.run()
        assert crawl.charged() == booked(context)
        assert set(crawl.charged()) == {
            (DAY, "units"),
            ("2026-07-17", "units"),
            ("2026-07-17", "stats"),
        }


def test_a_wrong_key_fails_the_crawl_and_blames_no_channel(context: Context, catalog: Catalog):
    clock = TurnableClock()
    with offline_crawl(context, catalog, clock=clock) as crawl:
        crawl.run()
        before = counts(context)
    with offline_crawl(
        context, catalog, clock=clock, key="wrong", watch=False, keys=frozenset({KEY})
    ) as crawl:
        crawl.turn(hours=1)
        job = crawl.run()
        assert (job.state, job.error_reason) == ("failed", "API_KEY_INVALID")
        assert job.error_message is not None
        assert "\n" not in job.error_message
        assert "TUBEGRADER_YOUTUBE_API_KEY" in job.error_message
        assert "wrong" not in job.error_message
        with pytest.raises(ApiKeyError):
            intake.add_all(crawl.context, [min(catalog.channels)])
    assert counts(context) == before | {"jobs": 2}
    assert rows(context, "SELECT DISTINCT state FROM channels") == [("active",)]
    assert rows(context, "SELECT DISTINCT state FROM videos") == [("public",)]
    assert value(context, "SELECT count(*) FROM work_items WHERE state = 'failed'") == 0


def test_the_right_key_goes_on_at_once(context: Context, catalog: Catalog):
    clock, keys = TurnableClock(), frozenset({KEY})
    with offline_crawl(context, catalog, clock=clock) as crawl:
        pass
    with offline_crawl(context, catalog, clock=clock, key="wrong", watch=False, keys=keys) as crawl:
        assert crawl.run().state == "failed"
    with offline_crawl(context, catalog, clock=clock, watch=False, keys=keys) as crawl:
        crawl.turn(seconds=5)
        assert crawl.run().state == "succeeded"
        assert newest_counts(context) == true_counts(crawl.truth())


REFUSALS = {
    "asked too fast": Reply(403, error_body("rateLimitExceeded")),
    "out of order": as_json({}, status=503),
    "another server": Reply(404, b"<html>no such page</html>"),
    "no connection": RESET,
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS.keys())
def test_a_refused_crawl_waits_and_loses_nothing(
    context: Context, catalog: Catalog, refusal: Reply
):
    with offline_crawl(context, catalog) as crawl:
        with scripted_server(lambda _: refusal) as server:
            ask(crawl, server.url)
            job = crawl.run()
            assert job.state == "running"
            assert job.waiting_until is not None
            assert job.waiting_until > crawl.clock.now
            assert job.progress_message
            asked = len(server.requests)
            assert asked <= 3 * 3  # three attempts at most for one batch and for two channels
            crawl.settle()
            assert len(server.requests) == asked
        ask(crawl, crawl.url)
        crawl.clock.now = job.waiting_until
        crawl.settle()
        assert jobs.find(crawl.context, job.job_id).state == "succeeded"
        assert newest_counts(context) == true_counts(crawl.truth())
    assert rows(context, "SELECT DISTINCT state FROM channels") == [("active",)]


def test_an_unreachable_youtube_is_asked_again_and_ends_nothing(context: Context, catalog: Catalog):
    with offline_crawl(context, catalog) as crawl:
        broken = as_json({}, status=503)
        with scripted_server(lambda _: broken) as server:
            ask(crawl, server.url)
            job = crawl.run()
            assert (job.state, job.waiting_until) == ("running", NOW + timedelta(seconds=15))
            # Two batches an hour, until eight have failed and the breaker lets through only one.
            for _ in range(11):
                crawl.turn(hours=1)
                crawl.settle()
            job = jobs.find(crawl.context, job.job_id)
            assert (job.state, job.progress_done) == ("running", 0)
            assert "503" in (job.progress_message or "")
        assert value(context, "SELECT count(*) FROM work_items WHERE state = 'failed'") == 0
        ask(crawl, crawl.url)
        for _ in range(2):
            crawl.turn(hours=1)
            crawl.settle()
        job = jobs.find(crawl.context, job.job_id)
        assert job.state == "succeeded"
        assert job.result == {"done": 2 * 110 + 8, "failed": 0, "failures": []}
    assert rows(context, "SELECT DISTINCT state FROM channels") == [("active",)]


def test_values_that_cannot_be_kept_hold_up_no_crawl(
    context: Context, catalog: Catalog, capsys: pytest.CaptureFixture[str]
):
    with offline_crawl(context, catalog) as crawl:
        transport = crawl.context.youtube._transport
        execute, ordinary = transport.execute, sorted(catalog.videos)[3:]

        def odd(request, before):
            body = execute(request, before)
            for item in body["items"]:
                if "liveBroadcastContent" not in item.get("snippet", {}) or item["id"] in ordinary:
                    continue
                item["snippet"]["liveBroadcastContent"] = "soon"
                item["contentDetails"]["duration"] = "P1M"
                item["statistics"]["viewCount"] = str(2**64 - 1)
            return body

        transport.execute = odd
        job = crawl.run()
        # Nobody asked for them again since.
        before = {"duration": 3, "liveBroadcastContent": 3, "viewCount": 3}
        assert {f.field: f.items for f in odd_values.lately(crawl.context)} == before
    assert (job.state, job.result) == (
        "succeeded",
        {
            "done": 228,
            "failed": 0,
            "failures": [],
            "odd": [
                {"field": "duration", "items": 3, "examples": {"'P1M'": 3}},
                {"field": "liveBroadcastContent", "items": 3, "examples": {"'soon'": 3}},
                {"field": "viewCount", "items": 3, "examples": {"'18446744073709551615'": 3}},
            ],
        },
    )
    assert describe_crawl(job.result).splitlines()[1] == (
        "  9 odd values became unknown: duration 'P1M' ×3, liveBroadcastContent 'soon' ×3, "
        "viewCount '18446744073709551615' ×3"
    )
    unknown = rows(
        context,
        "SELECT video_id, like_count IS NULL, title IS NULL FROM videos "
        "JOIN video_snapshots USING (video_id) WHERE view_count IS NULL AND duration_s IS NULL "
        "AND live_broadcast_content IS NULL AND format IS NULL",
    )
    assert {v for v, _, _ in unknown} == set(catalog.videos) - set(ordinary)
    assert {title for _, _, title in unknown} == {False}
    said = capsys.readouterr().out
    for reason in ("unknownLiveState", "oddDuration", "countTooLarge"):
        assert f"reason={reason}" in said


def ask(crawl: Crawl, endpoint: str) -> None:
    """Ask this server from now on, without waiting between attempts."""
    crawl.context.youtube.close()
    del crawl.context.__dict__["youtube"]
    crawl.context.settings = crawl.context.settings.model_copy(
        update={"youtube_endpoint": endpoint}
    )
    crawl.context.youtube._wait = lambda _seconds: None


def test_two_crawls_of_the_same_channels_do_the_work_once(context: Context, catalog: Catalog):
    with offline_crawl(context, catalog) as crawl:
        first, second = runs.start(crawl.context), runs.start(crawl.context)
        crawl.settle()
        for job_id in (first, second):
            assert jobs.view(crawl.context, job_id).state == "succeeded"
        assert crawl.served()["channels.list"] == {"200": 2}  # one to add them, one to count
    assert value(context, "SELECT count(*) FROM video_snapshots") == 110


def test_a_cancelled_crawl_takes_back_what_nobody_else_wants(context: Context, catalog: Catalog):
    mine, shared, *_ = sorted(catalog.channels)
    with offline_crawl(context, catalog) as crawl:
        crawl.run()
        crawl.turn(hours=1)
        crawl.queue.loses = lambda _: True
        cancelled = runs.start(crawl.context, [mine, shared])
        kept = runs.start(crawl.context, [shared])
        # Begun, but not yet dispatched.
        runs.advance(crawl.context)
        jobs.cancel(crawl.context, cancelled)
        runs.advance(crawl.context)
        assert jobs.view(crawl.context, cancelled).state == "cancelled"
        crawl.queue.loses = lambda _: False
        crawl.settle()
        assert jobs.view(crawl.context, kept).state == "succeeded"
        assert jobs.view(crawl.context, cancelled).result is None
    taken = dict(
        rows(
            context,
            "SELECT channel_id, count(*) FROM channel_snapshots GROUP BY channel_id",
        )
    )
    assert (taken[mine], taken[shared]) == (1, 2)


def test_work_that_ends_while_a_crawl_begins_does_not_hold_it_up(
    context: Context, catalog: Catalog
):
    """A worker reads its clock, a crawl begins, the worker commits: its work is done for both."""
    with offline_crawl(context, catalog) as crawl:
        clock = crawl.clock

        class CrawlBeginsNow:
            """A gateway during whose answer a second crawl begins, a moment later by the clock."""

            def __init__(self, whole):
                self.whole = whole
                self.job_id = None

            def __getattr__(self, name):
                return getattr(self.whole, name)

            def for_purpose(self, purpose):
                return self

            def channels(self, ids, *beside):
                answer = self.whole.channels(ids, *beside)
                if self.job_id is None:
                    crawl.turn(seconds=1)
                    self.job_id = runs.start(crawl.context)
                    runs.advance(crawl.context)
                    crawl.turn(seconds=-1)
                return answer

        gateway = CrawlBeginsNow(crawl.context.youtube)
        crawl.context.__dict__["youtube"] = gateway
        crawl.settle()
        clock.advance(timedelta(seconds=2))
        crawl.settle()
        assert gateway.job_id is not None
        assert jobs.view(crawl.context, gateway.job_id).state == "succeeded"


def brought(crawl, job_id):
    """How many of the job's channels are brought forward, and which channels have work due."""
    due = rows(
        crawl.context,
        "SELECT DISTINCT channel_id FROM work_items"
        f" WHERE state = 'due' AND ready_at <= '{crawl.clock().isoformat()}'",
    )
    return jobs.view(crawl.context, job_id).steps["brought"], {channel for (channel,) in due}


def test_a_crawl_of_many_channels_brings_them_forward_in_parts(
    context: Context, catalog: Catalog, monkeypatch
):
    monkeypatch.setattr(runs, "ITEMS", 1)
    monkeypatch.setattr(runs, "PARTS", 2)
    ids = sorted(catalog.channels)
    assert len(ids) > 3
    with offline_crawl(context, catalog) as crawl:
        crawl.run()
        crawl.turn(hours=1)
        job_id = runs.start(crawl.context, ids)
        runs.advance(crawl.context)
        assert brought(crawl, job_id) == (2, set(ids[:2]))
        # Whoever comes next goes on where it was left, and the job ends no sooner.
        assert jobs.view(crawl.context, job_id).state == "running"
        runs.advance(crawl.context)
        assert brought(crawl, job_id)[0] == min(4, len(ids))
        crawl.settle()
        assert jobs.view(crawl.context, job_id).state == "succeeded"
    taken = rows(context, "SELECT count(*) FROM channel_snapshots GROUP BY channel_id")
    assert set(taken) == {(2,)}


def test_a_crawl_can_be_cancelled_before_all_is_brought_forward(
    context: Context, catalog: Catalog, monkeypatch
):
    monkeypatch.setattr(runs, "ITEMS", 1)
    monkeypatch.setattr(runs, "PARTS", 1)
    ids = sorted(catalog.channels)
    with offline_crawl(context, catalog) as crawl:
        crawl.run()
        crawl.turn(hours=1)
        crawl.queue.loses = lambda _: True
        job_id = runs.start(crawl.context, ids)
        runs.advance(crawl.context)
        assert brought(crawl, job_id) == (1, {ids[0]})
        jobs.cancel(crawl.context, job_id)
        runs.advance(crawl.context)
        assert jobs.view(crawl.context, job_id).state == "cancelled"
        assert brought(crawl, job_id) == (1, set())
