"""Discovery: walks that go on where they stood, feeds as hints, gone videos, closed channels."""

from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.context import Context
from services.crawl import discovery
from services.crawl.formats import video_format
from services.emulator.catalog import Catalog
from services.emulator.faults import FaultPlan
from services.emulator.synthetic import synthetic_catalog
from services.emulator.videos import Stream, Video
from services.errors import PermanentError
from services.youtube.facts import VideoFacts, VideoStatistics
from tests.support.crawl import NOW, Crawl, newest_counts, offline_crawl, rows, true_counts, value
from tests.support.emulator import fetch


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return synthetic_catalog(seed=5, epoch=NOW, channels=1, videos=170)


def changed(catalog: Catalog, *videos: Video, without: Collection[str] = ()) -> Catalog:
    kept = {v: video for v, video in catalog.videos.items() if v not in without}
    return replace(catalog, videos={**kept, **{v.video_id: v for v in videos}})


def uploads(catalog: Catalog) -> list[Video]:
    """Newest first."""
    [channel_id] = catalog.channels
    return list(catalog.uploads(channel_id, NOW))


def pages_read(crawl: Crawl) -> int:
    return sum(crawl.served().get("playlistItems.list", {}).values())


class WorkerDiedError(BaseException):
    """As if the process were gone."""


class DiesAfter:
    """A gateway whose process dies when it is to read one page too many."""

    def __init__(self, whole, pages):
        self.whole, self.pages = whole, pages

    def __getattr__(self, name):
        return getattr(self.whole, name)

    def for_purpose(self, purpose):
        return self

    def uploads_page(self, playlist_id, page_token=None, *tries):
        if not self.pages:
            raise WorkerDiedError
        self.pages -= 1
        return self.whole.uploads_page(playlist_id, page_token, *tries)


def die_after(crawl: Crawl, pages: int) -> None:
    whole = crawl.context.youtube
    crawl.context.__dict__["youtube"] = DiesAfter(whole, pages)
    with pytest.raises(WorkerDiedError):
        crawl.settle()
    crawl.context.__dict__["youtube"] = whole


def test_a_backfill_goes_on_where_the_worker_died(context: Context, catalog: Catalog):
    with offline_crawl(context, catalog) as crawl:
        die_after(crawl, pages=2)
        assert rows(context, "SELECT walk_listed, walked_at FROM channels") == [(100, None)]
        assert pages_read(crawl) == 2
        crawl.turn(minutes=5)
        crawl.settle()
        assert pages_read(crawl) == 4  # 170 videos are four pages: none was read twice
        assert newest_counts(context) == true_counts(crawl.truth())
    assert rows(context, "SELECT walk_token, walk_started_at, walk_listed FROM channels") == [
        (None, None, 0)
    ]
    assert value(context, "SELECT walked_at = listed_at FROM channels")


def test_a_page_token_that_is_refused_begins_the_walk_anew_and_doubles_nothing(
    context: Context, catalog: Catalog
):
    with offline_crawl(context, catalog) as crawl:
        die_after(crawl, pages=2)
        crawl.turn(minutes=5)
        youtube = crawl.context.youtube

        class ForgetsTokens(DiesAfter):
            refused = 0

            def uploads_page(self, playlist_id, page_token=None, *tries):
                if page_token is not None and not self.refused:
                    self.refused += 1
                    raise PermanentError("it is too old", reason="invalidPageToken")
                return self.whole.uploads_page(playlist_id, page_token, *tries)

        forgetful = ForgetsTokens(youtube, 0)
        crawl.context.__dict__["youtube"] = forgetful
        crawl.settle()
        crawl.context.__dict__["youtube"] = youtube
        assert forgetful.refused == 1
        assert newest_counts(context) == true_counts(crawl.truth())
    assert value(context, "SELECT count(*) FROM videos") == 170
    assert value(context, "SELECT count(*) FROM video_snapshots") == 170


class Misdated:
    """A gateway whose answers date some videos as nobody can have published them."""

    def __init__(self, whole, moments):
        self.whole, self.moments = whole, moments

    def __getattr__(self, name):
        return getattr(self.whole, name)

    def for_purpose(self, purpose):
        return self

    def dated(self, facts):
        at = self.moments.get(facts.video_id, facts.published_at)
        return replace(facts, published_at=at)

    def uploads_page(self, playlist_id, page_token=None, *tries):
        page = self.whole.uploads_page(playlist_id, page_token, *tries)
        return replace(page, uploads=tuple(map(self.dated, page.uploads)))

    def videos(self, ids, *beside):
        answer = self.whole.videos(ids, *beside)
        return replace(answer, items={v: self.dated(f) for v, f in answer.items.items()})


def test_a_moment_of_publication_that_an_import_refuses_is_taken_by_no_crawl(
    context: Context, catalog: Catalog
):
    video_ids = [video.video_id for video in uploads(catalog)]
    odd = {
        video_ids[5]: datetime(1970, 1, 1, tzinfo=UTC),
        video_ids[6]: NOW + timedelta(days=400),
    }
    with offline_crawl(context, catalog) as crawl:
        whole = crawl.context.youtube
        crawl.context.__dict__["youtube"] = Misdated(whole, odd)
        assert crawl.run().state == "succeeded"
        known = {v for (v,) in rows(context, "SELECT video_id FROM videos")}
        assert known == set(video_ids) - odd.keys()
        # One that is known keeps the moment it had, is no reason to doubt older ones, and stays.
        odd[video_ids[7]] = odd[video_ids[5]]
        before = value(
            context, "SELECT published_at FROM videos WHERE video_id = :v", v=video_ids[7]
        )
        crawl.turn(days=1)
        crawl.run()
        crawl.context.__dict__["youtube"] = whole
        told = "SELECT published_at, unlisted_at FROM videos WHERE video_id = :v"
        assert rows(context, told, v=video_ids[7]) == [(before, None)]
        assert value(context, "SELECT count(*) FROM videos WHERE unlisted_at IS NOT NULL") == 0
        # Dated rightly, they are found like any other.
        crawl.turn(days=31)
        crawl.run()
        assert value(context, "SELECT count(*) FROM videos") == 170


def test_tokens_that_expire_all_the_time_end_no_channel(context: Context, catalog: Catalog):
    with offline_crawl(context, catalog) as crawl:
        plan = FaultPlan(rates={"playlistItems.list": {"expired_token": 0.3}}, seed=4)
        fetch(f"{crawl.url}/emulator/faults", data=plan.model_dump_json().encode())
        for _ in range(40):
            crawl.settle()
            crawl.turn(minutes=30)
        assert value(context, "SELECT count(*) FROM videos") == 170
    assert value(context, "SELECT count(*) FROM work_items WHERE state = 'failed'") == 0


def test_a_walk_that_stood_for_days_begins_anew(context: Context, catalog: Catalog):
    """Deletions move the pages: going on would skip videos that were never listed."""
    deleted = [
        replace(video, deleted_at=NOW + timedelta(hours=1)) for video in uploads(catalog)[:60]
    ]
    with offline_crawl(context, changed(catalog, *deleted)) as crawl:
        die_after(crawl, pages=2)
        crawl.turn(days=3)
        crawl.settle()
        crawl.turn(hours=6)
        crawl.run()
        assert newest_counts(context) == true_counts(crawl.truth())
    assert value(context, "SELECT count(*) FROM videos WHERE state = 'public'") == 110


def test_a_video_missing_from_the_uploads_is_asked_for_and_marked_gone(
    context: Context, catalog: Catalog
):
    _, second, *_ = uploads(catalog)
    deleted = replace(second, deleted_at=NOW + timedelta(hours=1))
    with offline_crawl(context, changed(catalog, deleted)) as crawl:
        crawl.settle()
        crawl.turn(days=1)
        crawl.queue.loses = lambda name: name != "crawl.discover_channels"
        crawl.settle()
        assert value(context, "SELECT count(*) FROM videos WHERE state = 'gone'") == 0
        crawl.turn(days=1)
        crawl.settle()
        assert rows(context, "SELECT video_id, gone_at FROM videos WHERE state = 'gone'") == [
            (second.video_id, crawl.clock.now)
        ]


def test_a_gone_video_that_is_listed_again_is_collected_again(context: Context, catalog: Catalog):
    *_, oldest = uploads(catalog)
    deleted = replace(oldest, deleted_at=NOW + timedelta(hours=1))
    with offline_crawl(context, changed(catalog, deleted)) as crawl:
        crawl.settle()
        for days in (31, 7):
            crawl.turn(days=days)
            crawl.settle()
        assert value(context, "SELECT count(*) FROM videos WHERE state = 'gone'") == 1
        clock = crawl.clock
    with offline_crawl(context, catalog, clock=clock, watch=False) as crawl:
        # Far down the list: only a walk to the end, once a month, comes by.
        for _ in range(32):
            crawl.turn(days=1)
            crawl.settle()
        back = "SELECT max(captured_at) FROM video_snapshots WHERE video_id = :v"
        assert value(context, back, v=oldest.video_id) > clock.now - timedelta(days=31)
    assert value(context, "SELECT count(*) FROM videos WHERE gone_at IS NOT NULL") == 0
    assert value(context, "SELECT count(*) FROM work_items WHERE state = 'failed'") == 0


def test_a_channel_longer_than_the_list_is_marked_truncated(
    context: Context, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
):
    with offline_crawl(context, catalog) as crawl:
        crawl.settle()
        assert value(context, "SELECT uploads_truncated FROM channels") is False
        monkeypatch.setattr(discovery, "PLAYLIST_END", 170)
        crawl.turn(days=31)
        crawl.settle()
    assert value(context, "SELECT uploads_truncated FROM channels") is True


def test_a_closed_channel_is_asked_again_once_a_month_and_comes_back(
    context: Context, catalog: Catalog
):
    [channel_id] = catalog.channels
    shut = {channel_id: replace(catalog.channels[channel_id], standing="closed")}
    with offline_crawl(context, catalog) as crawl:
        crawl.settle()
        clock = crawl.clock
    with offline_crawl(context, replace(catalog, channels=shut), clock=clock, watch=False) as crawl:
        for _ in range(40):
            crawl.turn(days=1)
            crawl.settle()
        assert value(context, "SELECT state FROM channels") == "closed"
        assert pages_read(crawl) == 3  # heard twice, and once more after a month
        assert value(context, "SELECT count(*) FROM videos") == 170
    with offline_crawl(context, catalog, clock=clock, watch=False) as crawl:
        for _ in range(30):
            crawl.turn(days=1)
            crawl.settle()
        assert rows(context, "SELECT state, ask_again_at FROM channels") == [("active", None)]
    assert value(context, "SELECT count(*) FROM videos WHERE state = 'gone'") == 0
    assert value(context, "SELECT count(*) FROM work_items WHERE state <> 'due'") == 0


def test_feeds_save_pages_and_bring_new_videos_forward(context: Context, catalog: Catalog):
    newest = uploads(catalog)[0]
    fresh = replace(newest, video_id="freshfreshf", published_at=NOW + timedelta(hours=9))
    with offline_crawl(context, changed(catalog, fresh), settings={"feed_hints": True}) as crawl:
        crawl.settle()
        first = pages_read(crawl)
        for _ in range(9):
            crawl.turn(hours=1)
            crawl.settle()
        assert value(context, "SELECT count(*) FROM videos") == 171
        for _ in range(50):
            crawl.turn(hours=1)
            crawl.settle()
        # Within the hour; the page with the new video, and the one that was known before.
        assert pages_read(crawl) == first + 2
        plan = FaultPlan(rates={"feeds": {"unavailable": 1.0}})
        fetch(f"{crawl.url}/emulator/faults", data=plan.model_dump_json().encode())
        for _ in range(48):
            crawl.turn(hours=1)
            crawl.settle()
        # A feed that fails proves nothing: the uploads are read once a day as ever.
        assert pages_read(crawl) == first + 2 + 2


def facts(**values) -> VideoFacts:
    return VideoFacts("v" * 11, "UC" + "c" * 22, VideoStatistics("v" * 11), **values)


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ({}, None),
        ({"duration_s": 60}, "short"),
        ({"duration_s": 61}, "long"),
        ({"duration_s": 180, "published_at": NOW}, "short"),
        ({"duration_s": 181, "published_at": NOW}, "long"),
        ({"duration_s": 120, "published_at": NOW - timedelta(days=900)}, "long"),
        ({"live_broadcast_content": "upcoming", "duration_s": 0}, "live"),
        ({"live_broadcast_content": "live"}, "live"),
        ({"live_broadcast_content": "upcoming", "duration_s": 300}, "premiere"),
        (
            {
                "live_broadcast_content": "none",
                "duration_s": 30,
                "scheduled_start_at": NOW,
                "actual_start_at": NOW,
            },
            "premiere",
        ),
        (
            {
                "duration_s": 3600,
                "scheduled_start_at": NOW,
                "actual_start_at": NOW + timedelta(minutes=2),
            },
            "live",
        ),
        ({"duration_s": 3600, "actual_start_at": NOW}, "live"),
    ],
)
def test_formats_are_told_apart(known, expected):
    assert video_format(facts(**known)) == expected


def test_formats_are_recorded_from_what_the_api_says(context: Context, catalog: Catalog):
    a, b, c, d, *_ = uploads(catalog)
    hour = timedelta(hours=1)
    start = NOW - hour * 5
    world = changed(
        catalog,
        replace(a, duration=timedelta(seconds=40)),
        replace(b, duration=timedelta(minutes=20)),
        replace(
            c,
            duration=hour,
            published_at=start,
            stream=Stream(start, start + timedelta(minutes=3), start + hour),
        ),
        replace(
            d,
            duration=hour,
            published_at=start,
            stream=Stream(start, start, start + hour, premiere=True),
        ),
    )
    with offline_crawl(context, world) as crawl:
        crawl.settle()
    found = dict(rows(context, "SELECT video_id, format FROM videos"))
    assert [found[v.video_id] for v in (a, b, c, d)] == ["short", "long", "live", "premiere"]
    assert None not in found.values()


class Circling(Misdated):
    """A list of uploads whose every page says that another one follows, by the same token."""

    def __init__(self, whole, most):
        super().__init__(whole, {})
        self.left = most

    def uploads_page(self, playlist_id, page_token=None, *tries):
        self.left -= 1
        assert self.left >= 0, "it goes on and on"
        return replace(self.whole.uploads_page(playlist_id), next_page_token="again")


def test_a_list_of_uploads_that_leads_back_is_read_once_and_not_taken_as_whole(
    context: Context, catalog: Catalog
):
    with offline_crawl(context, catalog) as crawl:
        few = 3 * len(catalog.channels)
        crawl.context.__dict__["youtube"] = Circling(crawl.context.youtube, few)
        crawl.run()
        known = {v for (v,) in rows(context, "SELECT video_id FROM videos")}
        assert known >= {video.video_id for video in uploads(catalog)[:50]}
        assert value(context, "SELECT count(*) FROM channels WHERE walked_at IS NOT NULL") == 0
        assert rows(
            context,
            "SELECT DISTINCT state, error_reason FROM work_items WHERE kind = 'channel.discover'",
        ) == [("due", "malformedAnswer")]
