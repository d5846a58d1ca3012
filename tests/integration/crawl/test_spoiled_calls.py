"""A call that one of its ids spoils: that one is set aside, and all others are collected."""

from datetime import timedelta

import pytest

from services.context import Context
from services.emulator.catalog import Catalog
from services.emulator.faults import FaultPlan
from services.emulator.synthetic import synthetic_catalog
from services.errors import TransientError
from services.work.verdicts import ONCE_FOR
from services.youtube.batches import ONCE
from services.youtube.gateway import YouTubeGateway
from tests.support.crawl import NOW, Crawl, offline_crawl, rows, value
from tests.support.emulator import fetch


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return synthetic_catalog(seed=6, epoch=NOW, channels=3, videos=28)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch):
    defaults = {**(YouTubeGateway.__init__.__kwdefaults__ or {}), "wait": lambda _s: None}
    monkeypatch.setattr(YouTubeGateway.__init__, "__kwdefaults__", defaults)


def break_for(crawl: Crawl, *ids: str, rates: str = "{}") -> None:
    plan = FaultPlan(broken=ids).model_dump_json(exclude={"rates"})
    fetch(f"{crawl.url}/emulator/faults", data=f'{plan[:-1]}, "rates": {rates}}}'.encode())


def open_items(context: Context) -> list[tuple[object, ...]]:
    return rows(
        context,
        "SELECT kind, entity_id, state, error_reason FROM work_items "
        "WHERE done_at IS NULL ORDER BY 1, 2",
    )


def calls(crawl: Crawl, endpoint: str) -> int:
    return sum(crawl.served().get(endpoint, {}).values())


@pytest.mark.parametrize("place", [0, 13, 27])
def test_one_video_that_spoils_its_call_is_alone_within_the_first_crawl(
    context: Context, catalog: Catalog, place: int
):
    culprit = sorted(catalog.videos)[place]
    with offline_crawl(context, catalog) as crawl:
        break_for(crawl, culprit)
        job = crawl.run()
        assert job.state == "succeeded"
        assert job.result is not None
        assert job.result["doubts"] == [
            {"work": "video.snapshot", "reason": "unanswerable", "count": 1}
        ]
        assert open_items(context) == [("video.snapshot", culprit, "due", "unanswerable")]
        assert value(context, "SELECT count(*) FROM video_snapshots") == 27
        # Three tries of all, log2(28) halves, the one alone, and what was left over.
        assert calls(crawl, "videos.list") <= 3 + 5 + 3 + 1
        assert value(context, "SELECT count(*) FROM breakers WHERE failures > 0") == 0


@pytest.mark.slow
def test_it_is_asked_alone_from_then_on_and_seldomer_and_seldomer(
    context: Context, catalog: Catalog
):
    culprit = sorted(catalog.videos)[9]
    with offline_crawl(context, catalog) as crawl:
        break_for(crawl, culprit)
        crawl.run()
        before = calls(crawl, "videos.list")
        asked = []
        for hour in range(48):
            crawl.turn(hours=1)
            crawl.settle()
            asked.append(calls(crawl, "videos.list") - before)
            before += asked[-1]
            assert open_items(context) == [("video.snapshot", culprit, "due", "unanswerable")], hour
        assert max(asked) <= 2
        assert sum(asked[:6]) >= 2
        assert sum(asked[24:]) <= 5
        # Nothing of this speaks against the host, although it was asked for nothing else at times.
        assert rows(context, "SELECT state, failures FROM breakers") in ([], [("closed", 0)])
        break_for(crawl)
        crawl.turn(days=1)
        crawl.settle()
        assert open_items(context) == []


@pytest.mark.slow
def test_it_is_given_up_when_nothing_came_for_a_week(context: Context, catalog: Catalog):
    culprit = sorted(catalog.videos)[9]
    with offline_crawl(context, catalog) as crawl:
        break_for(crawl, culprit)
        crawl.run()
        for _ in range(2 * ONCE_FOR.days + 4):
            crawl.turn(hours=12)
            crawl.settle()
        assert open_items(context) == [("video.snapshot", culprit, "failed", "unanswerable")]


def test_several_are_each_found(context: Context, catalog: Catalog):
    culprits = [sorted(catalog.videos)[place] for place in (3, 4, 20)]
    with offline_crawl(context, catalog) as crawl:
        break_for(crawl, *culprits)
        job = crawl.run()
        assert job.state == "succeeded"
        assert [e for _, e, _, _ in open_items(context)] == culprits


def test_a_channel_whose_uploads_or_counts_fail_holds_up_no_other(context: Context):
    catalog = synthetic_catalog(seed=6, epoch=NOW, channels=9, videos=36)
    culprits = sorted(catalog.channels)[:3]
    with offline_crawl(context, catalog) as crawl:
        crawl.run()  # all are known by then
        break_for(crawl, *culprits)
        crawl.turn(days=1)
        crawl.settle()
        for _ in range(8):
            crawl.turn(minutes=1)
            crawl.settle()
        late = rows(
            context,
            "SELECT kind, entity_id, error_reason FROM work_items "
            "WHERE kind LIKE 'channel.%' AND done_at < :then ORDER BY 1, 2",
            then=NOW + timedelta(hours=2),
        )
        assert late == [
            (kind, culprit, "unanswerable")
            for kind in ("channel.discover", "channel.snapshot")
            for culprit in culprits
        ]


def test_channels_whose_uploads_fail_pause_their_batch_once(
    context: Context, monkeypatch: pytest.MonkeyPatch
):
    waits: list[float] = []
    defaults = {**(YouTubeGateway.__init__.__kwdefaults__ or {}), "wait": waits.append}
    monkeypatch.setattr(YouTubeGateway.__init__, "__kwdefaults__", defaults)
    catalog = synthetic_catalog(seed=6, epoch=NOW, channels=9, videos=36)
    culprits = [sorted(catalog.channels)[place] for place in (2, 5)]
    with offline_crawl(context, catalog) as crawl:
        break_for(crawl, *culprits)
        job = crawl.run()
    # Nothing is waited for: others were answered in between, so it is them.
    assert job.state == "succeeded"
    assert open_items(context) == [
        (kind, culprit, "due", "unanswerable")
        for kind in ("channel.discover", "channel.snapshot")
        for culprit in culprits
    ]
    # One for the lists of uploads, one for the counts.
    assert waits == [1.0, 1.0]


@pytest.mark.parametrize("fault", ["server_error", "bad_request", "html"])
def test_nothing_is_split_where_nothing_is_answered(context: Context, catalog: Catalog, fault: str):
    with offline_crawl(context, catalog) as crawl:
        crawl.run()
        crawl.turn(hours=6)
        break_for(crawl, rates=f'{{"*": {{"{fault}": 1}}}}')
        before = value(context, "SELECT sum(units) FROM quota_usage")
        crawl.turn(days=1)
        for _ in range(10):
            crawl.settle()
            crawl.turn(minutes=4)
        spent = value(context, "SELECT sum(units) FROM quota_usage") - before
        # Every batch that went out was one call, tried three times at most.
        tokens = [a for n, a in crawl.queue.sent if n.startswith("crawl.")]
        assert spent <= 3 * len(tokens)
        assert (
            value(
                context, "SELECT count(*) FROM work_items WHERE error_reason = :r", r="unanswerable"
            )
            == 0
        )


@pytest.mark.parametrize("answers_again", [False, True])
def test_channels_that_were_put_off_are_not_blamed_for_a_host_that_fell_meanwhile(
    context: Context, monkeypatch: pytest.MonkeyPatch, answers_again: bool
):
    catalog = synthetic_catalog(seed=6, epoch=NOW, channels=9, videos=18)
    down = TransientError("YouTube fails at the moment (HTTP 500).", reason="http500")
    with offline_crawl(context, catalog) as crawl:
        uploads_page, asked, hiccups = YouTubeGateway.uploads_page, [], set()

        def page(self, playlist_id, page_token=None, tries=ONCE):
            asked.append(playlist_id)
            if len(asked) in (2, 4, 6, 8):
                hiccups.add("UC" + playlist_id.removeprefix("UU"))
            is_down = len(asked) > 9 and not answers_again
            if is_down or "UC" + playlist_id.removeprefix("UU") in hiccups:
                raise down
            return uploads_page(self, playlist_id, page_token, tries)

        monkeypatch.setattr(YouTubeGateway, "uploads_page", page)
        crawl.run()
    failed = rows(
        context,
        "SELECT entity_id, error_reason FROM work_items "
        "WHERE kind = 'channel.discover' AND done_at IS NULL ORDER BY 1",
    )
    reason = "unanswerable" if answers_again else "http500"
    assert failed == [(channel_id, reason) for channel_id in sorted(hiccups)]
    # Where nobody answers, two of them and one that was answered before are enough to know.
    assert len(asked) == (9 + 4 + 2 if answers_again else 9 + 2 + 1)
