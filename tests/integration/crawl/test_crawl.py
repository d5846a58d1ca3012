"""The crawl, end to end in one process, against the offline YouTube."""

import hashlib
from dataclasses import replace
from datetime import timedelta

import pytest

from db.queries.work import overview
from services.context import Context
from services.crawl import intake, runs
from services.emulator.catalog import Catalog
from services.emulator.synthetic import synthetic_catalog
from services.emulator.videos import Channel, Stream, ThumbnailVersion, Video
from services.errors import PermanentError, UsageError
from services.tick import dispatch
from tests.support.crawl import (
    NOW,
    counts,
    newest_counts,
    offline_crawl,
    rows,
    true_counts,
    value,
    without_channel,
)


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return synthetic_catalog(seed=3, epoch=NOW, channels=3, videos=120, hidden_share=0.4)


def changed(catalog: Catalog, *videos: Video, channel: Channel | None = None) -> Catalog:
    """The catalogue with some videos (and a channel) added, or in place of what they were."""
    return replace(
        catalog,
        channels={**catalog.channels, **({channel.channel_id: channel} if channel else {})},
        videos={**catalog.videos, **{v.video_id: v for v in videos}},
    )


def states(context: Context) -> dict[str, str]:
    return dict(rows(context, "SELECT channel_id, state FROM channels"))


def test_a_crawl_collects_everything_that_there_is(context: Context, catalog: Catalog):
    n = len(catalog.videos)
    with offline_crawl(context, catalog) as crawl:
        job = crawl.run()
        truth = crawl.truth()
    assert job.state == "succeeded"
    assert job.result == {"done": 2 * n + 6, "failed": 0, "failures": []}
    assert (job.progress_done, job.progress_total) == (2 * n + 6, 2 * n + 6)
    assert newest_counts(context) == true_counts(truth)
    shown = dict(rows(context, "SELECT channel_id, subscriber_count FROM channel_snapshots"))
    for channel in truth["channels"]:
        subscribers = shown[channel["channel_id"]]
        if channel["hidden_subscribers"]:
            assert subscribers is None
        else:
            assert 0 <= channel["subscribers"] - subscribers <= channel["subscribers"] / 100
    assert sum(s is None for s in shown.values()) == 1


def test_facts_and_pictures_are_kept_as_they_came(context: Context, catalog: Catalog):
    with offline_crawl(context, catalog) as crawl:
        crawl.run()
    for channel_id, *told in rows(
        context, "SELECT channel_id, title, handle, uploads_playlist_id FROM channels"
    ):
        channel = catalog.channels[channel_id]
        assert told == [channel.title, channel.handle, "UU" + channel_id[2:]]
    for video_id, *told in rows(
        context, "SELECT video_id, title, duration_s, default_audio_language FROM videos"
    ):
        video = catalog.videos[video_id]
        assert video.duration is not None
        assert told == [video.title, video.duration.total_seconds(), video.language]
    found = rows(
        context,
        "SELECT video_id, thumbnail_sha256, width, height, byte_size, variant, version "
        "FROM video_thumbnails JOIN thumbnails USING (thumbnail_sha256)",
    )
    assert {row[0] for row in found} == set(catalog.videos)
    pictures = context.store.get_many([row[1] for row in found])
    for (video_id, sha256, *facts), picture in zip(found, pictures, strict=True):
        assert picture == catalog.picture(video_id)
        assert sha256 == hashlib.sha256(picture).hexdigest()
        assert facts == [320, 180, len(picture), "mqdefault", 1]


def test_a_second_crawl_adds_snapshots_and_nothing_else(context: Context, catalog: Catalog):
    with offline_crawl(context, catalog) as crawl:
        crawl.run()
        before, objects = counts(context), context.store.names()
        crawl.turn(hours=2)
        assert crawl.run().result == {"done": 246, "failed": 0, "failures": []}
        assert newest_counts(context) == true_counts(crawl.truth())
    expected = {"jobs": 2, "video_snapshots": 2 * 120, "channel_snapshots": 2 * 3}
    assert counts(context) == before | expected
    assert context.store.names() == objects


def test_a_crawl_in_the_same_moment_adds_not_even_snapshots(context: Context, catalog: Catalog):
    with offline_crawl(context, catalog) as crawl:
        crawl.run()
        before = counts(context)
        assert crawl.run().state == "succeeded"
    assert counts(context) == before | {"jobs": 2}


def test_a_known_video_costs_no_byte_of_its_thumbnail_again(context: Context, catalog: Catalog):
    with offline_crawl(context, catalog) as crawl:
        crawl.run()
        crawl.turn(hours=1)
        crawl.run()
        assert crawl.served()["thumbnails"] == {"200": 120, "304": 120}
    assert value(context, "SELECT min(last_seen_at) FROM video_thumbnails") == crawl.clock.now


def test_what_is_due_is_collected_without_any_job(context: Context, catalog: Catalog):
    with offline_crawl(context, catalog) as crawl:
        crawl.run()
        crawl.turn(days=31)
        crawl.settle()
        assert newest_counts(context) == true_counts(crawl.truth())
        assert value(context, "SELECT count(*) FROM video_snapshots") == 2 * 120
        crawl.turn(minutes=5)
        before = counts(context)
        crawl.settle()
        assert counts(context) == before
    assert value(context, "SELECT count(*) FROM work_items WHERE state <> 'due'") == 0


def test_discovery_reads_one_page_of_a_channel_it_knows(context: Context, catalog: Catalog):
    longest = max(catalog.channels, key=lambda c: len(catalog.uploads(c, NOW)))
    newest = catalog.uploads(longest, NOW)[0]
    soon = replace(
        newest,
        video_id="soonsoonsoo",
        published_at=NOW + timedelta(hours=1),
        thumbnails=newest.thumbnails,
    )
    pages = {c: -(-len(catalog.uploads(c, NOW)) // 50) for c in catalog.channels}
    assert pages[longest] > 1
    with offline_crawl(context, changed(catalog, soon)) as crawl:
        crawl.run()
        assert crawl.served()["playlistItems.list"] == {"200": sum(pages.values())}
        crawl.turn(hours=2)
        crawl.run()
        # One page of each channel, and one more after the page with the new video on it.
        assert crawl.served()["playlistItems.list"] == {"200": sum(pages.values()) + 4}
    assert value(context, "SELECT count(*) FROM videos") == 121


def test_a_walk_that_broke_off_misses_nothing(context: Context, catalog: Catalog):
    """120 uploads arrive at once; the worker dies after the first page of them."""
    model = next(iter(catalog.videos.values()))
    new = [
        replace(model, video_id=f"new{i:08d}", published_at=NOW + timedelta(minutes=i + 1))
        for i in range(120)
    ]
    with offline_crawl(context, changed(catalog, *new)) as crawl:
        crawl.run()
        crawl.turn(days=1)
        crawl.context.__dict__["youtube"] = BreaksOffAfterOnePage(crawl.context.youtube)
        with pytest.raises(WorkerDiedError):
            crawl.settle()
        known = value(context, "SELECT count(*) FROM videos")
        assert 120 < known < 240
        crawl.context.__dict__["youtube"] = crawl.context.youtube.whole
        crawl.turn(minutes=3)
        assert crawl.run().state == "succeeded"
        assert newest_counts(context) == true_counts(crawl.truth())
    assert value(context, "SELECT count(*) FROM videos") == 240


class WorkerDiedError(BaseException):
    """As if the process were gone: no service can catch it."""


class BreaksOffAfterOnePage:
    """A gateway whose process dies on the second page of any playlist."""

    def __init__(self, whole):
        self.whole = whole

    def __getattr__(self, name):
        return getattr(self.whole, name)

    def for_purpose(self, purpose):
        return self

    def uploads_page(self, playlist_id, page_token=None, *tries):
        if page_token is not None:
            raise WorkerDiedError
        return self.whole.uploads_page(playlist_id)


def test_a_video_that_vanishes_is_gone_and_may_come_back(context: Context, catalog: Catalog):
    video = next(iter(catalog.videos.values()))
    deleted = replace(video, deleted_at=NOW + timedelta(hours=1))
    with offline_crawl(context, changed(catalog, deleted)) as crawl:
        crawl.run()
        crawl.turn(hours=2)
        heard_once = crawl.run()
        assert heard_once.state == "succeeded"
        assert heard_once.result == {
            "done": 244,
            "failed": 0,
            "failures": [],
            "in_doubt": 2,
            "doubts": [
                {"work": "video.snapshot", "reason": "videoGone", "count": 1},
                {"work": "video.thumbnail", "reason": "thumbnailMissing", "count": 1},
            ],
        }
        assert value(context, "SELECT count(*) FROM videos WHERE state = 'gone'") == 0
        crawl.turn(hours=6)
        job = crawl.run()
        assert job.result is not None
        assert job.result["failures"] == [
            {"work": "video.snapshot", "reason": "videoGone", "count": 1},
            {"work": "video.thumbnail", "reason": "thumbnailMissing", "count": 1},
        ]
        assert rows(context, "SELECT video_id FROM videos WHERE state = 'gone'") == [
            (video.video_id,)
        ]
        clock = crawl.clock
    with offline_crawl(context, catalog, clock=clock, watch=False) as crawl:
        crawl.turn(hours=1)
        assert crawl.run().state == "succeeded"
        assert newest_counts(context) == true_counts(crawl.truth())


def test_a_swapped_thumbnail_opens_a_new_version(context: Context, catalog: Catalog):
    first, other = list(catalog.videos.values())[:2]
    swap = NOW + timedelta(hours=1)
    swapped = replace(
        first, thumbnails=(*first.thumbnails, ThumbnailVersion(swap, other.thumbnails[0].key))
    )
    with offline_crawl(context, changed(catalog, swapped)) as crawl:
        crawl.run()
        objects = context.store.names()
        crawl.turn(hours=2)
        crawl.run()
    versions = rows(
        context,
        "SELECT version, is_current, first_seen_at, last_seen_at, thumbnail_sha256 "
        "FROM video_thumbnails WHERE video_id = :v ORDER BY version",
        v=first.video_id,
    )
    (_, *first_version, one), (_, *second_version, two) = versions
    later = NOW + timedelta(hours=2)
    assert first_version == [False, NOW, NOW]
    assert second_version == [True, later, later]
    assert context.store.get_many([one, two]) == [
        catalog.picture(first.video_id),
        catalog.picture(other.video_id),
    ]
    assert context.store.names() == objects  # the same picture is one object


def test_a_missing_thumbnail_is_counted_by_its_reason(context: Context, catalog: Catalog):
    bare = [replace(video, thumbnails=()) for video in list(catalog.videos.values())[:3]]
    with offline_crawl(context, changed(catalog, *bare)) as crawl:
        heard_once = crawl.run()
        assert heard_once.result is not None
        assert (heard_once.result["failed"], heard_once.result["in_doubt"]) == (0, 3)
        crawl.turn(hours=6)
        job = crawl.run()
    assert job.state == "succeeded"
    assert job.result == {
        "done": 243,
        "failed": 3,
        "failures": [{"work": "video.thumbnail", "reason": "thumbnailMissing", "count": 3}],
    }
    with context.transaction() as session:
        assert overview.failures_by_reason(session) == [("video.thumbnail", "thumbnailMissing", 3)]


def test_a_channel_without_videos_is_empty_and_not_gone(context: Context, catalog: Catalog):
    silent = Channel("UC" + "s" * 22, "Silence", NOW - timedelta(days=9), subscribers=7)
    with offline_crawl(context, changed(catalog, channel=silent)) as crawl:
        assert crawl.run().result == {"done": 248, "failed": 0, "failures": []}
    found = states(context)
    assert found.pop(silent.channel_id) == "empty"
    assert set(found.values()) == {"active"}


@pytest.mark.parametrize("standing", ["closed", "suspended"])
def test_a_closed_channel_keeps_what_was_collected(
    context: Context, catalog: Catalog, standing: str
):
    channel_id = min(catalog.channels)
    with offline_crawl(context, catalog) as crawl:
        crawl.run()
        before, clock = counts(context), crawl.clock
    shut = replace(catalog.channels[channel_id], standing=standing)
    n = len(catalog.uploads(channel_id, NOW))
    with offline_crawl(context, changed(catalog, channel=shut), clock=clock, watch=False) as crawl:
        crawl.turn(hours=1)
        heard_once = crawl.run()
        assert heard_once.state == "succeeded"
        assert heard_once.result is not None
        assert (heard_once.result["failed"], heard_once.result["in_doubt"]) == (0, 2 * n + 2)
        assert set(states(context).values()) == {"active"}
        crawl.turn(hours=6)
        job = crawl.run()
        assert job.state == "succeeded"
        assert job.result is not None
        assert {(f["work"], f["reason"], f["count"]) for f in job.result["failures"]} == {
            ("channel.discover", "channel" + standing.capitalize(), 1),
            ("channel.snapshot", "channelNotFound", 1),
            ("video.snapshot", "videoGone", n),
            ("video.thumbnail", "thumbnailMissing", n),
        }
        assert states(context)[channel_id] == standing
        after = counts(context)
        assert after["videos"] == before["videos"]
        assert after["objects"] == before["objects"]
        assert after["video_snapshots"] == before["video_snapshots"] * 3 - 2 * n
    with offline_crawl(context, catalog, clock=clock, watch=False) as crawl:
        crawl.turn(hours=1)
        assert crawl.run().result == {"done": 246, "failed": 0, "failures": []}
        assert states(context)[channel_id] == "active"
        assert newest_counts(context) == true_counts(crawl.truth())


def test_a_channel_that_is_gone_is_not_taken_for_an_empty_one(context: Context, catalog: Catalog):
    channel_id = min(catalog.channels)
    with offline_crawl(context, catalog) as crawl:
        crawl.run()
        clock = crawl.clock
    without = without_channel(catalog, channel_id)
    with offline_crawl(context, without, clock=clock, watch=False) as crawl:
        crawl.turn(hours=1)
        crawl.run()
        assert states(context)[channel_id] == "active"
        crawl.turn(hours=6)
        crawl.run()
    assert states(context)[channel_id] == "gone"


def test_a_stream_is_asked_for_in_full_until_it_is_over(context: Context, catalog: Catalog):
    model = next(iter(catalog.videos.values()))
    start = NOW + timedelta(hours=5)
    stream = replace(
        model,
        video_id="streamstrea",
        published_at=NOW - timedelta(hours=1),
        duration=None,
        stream=Stream(scheduled_start=start),
    )
    begun = replace(
        stream, duration=timedelta(hours=1), stream=Stream(start, start, start + timedelta(hours=1))
    )
    shown = "SELECT live_broadcast_content, actual_start_at FROM videos WHERE video_id = :v"
    with offline_crawl(context, changed(catalog, stream)) as crawl:
        crawl.run()
        assert rows(context, shown, v=stream.video_id) == [("upcoming", None)]
        clock = crawl.clock
    with offline_crawl(context, changed(catalog, begun), clock=clock, watch=False) as crawl:
        crawl.turn(hours=7)
        crawl.settle()
        assert rows(context, shown, v=stream.video_id) == [("none", start)]


def test_nothing_is_watched_when_one_of_the_names_is_wrong(context: Context, catalog: Catalog):
    good, missing = min(catalog.channels), "UC" + "0" * 22
    with offline_crawl(context, catalog, watch=False) as crawl:
        for named in ([good, missing], [good, "@nobody-of-that-name"]):
            with pytest.raises(PermanentError) as caught:
                intake.add_all(crawl.context, named)
            assert caught.value.reason == "channelNotFound"
        for nonsense in ([], [good, "two words"]):
            with pytest.raises(UsageError):
                intake.add_all(crawl.context, nonsense)
        with pytest.raises(UsageError):
            runs.start(crawl.context)
        assert set(counts(context).values()) == {0}
        added = intake.add_all(crawl.context, [good, catalog.channels[good].handle or ""])
        assert (added.channel_ids, added.new) == ([good], 1)
        assert intake.add_all(crawl.context, [good]).new == 0


def test_a_crawl_of_one_channel_leaves_the_others_alone(context: Context, catalog: Catalog):
    channel_id = min(catalog.channels)
    n = len(catalog.uploads(channel_id, NOW))
    with offline_crawl(context, catalog) as crawl:
        crawl.run()
        crawl.turn(hours=1)
        job = crawl.run([channel_id])
        assert job.result == {"done": 2 * n + 2, "failed": 0, "failures": []}
        assert dispatch(crawl.context) == 0
    assert value(context, "SELECT count(*) FROM video_snapshots") == 120 + n
