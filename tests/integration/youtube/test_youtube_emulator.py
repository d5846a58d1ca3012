"""The gateway, thumbnails and feed against the offline YouTube."""

from datetime import UTC, datetime, timedelta

import pytest

from services.emulator.catalog import Catalog
from services.emulator.quota import Quotas
from services.emulator.synthetic import synthetic_catalog
from services.errors import PermanentError, QuotaError
from services.youtube.failures import ApiKeyError
from services.youtube.feed import Feed, fetch_feed
from services.youtube.gateway import YouTubeGateway
from services.youtube.quota import reset_at
from services.youtube.thumbnails import (
    FailedThumbnail,
    FetchedThumbnail,
    ThumbnailRequest,
    UnchangedThumbnail,
    fetch_all_thumbnails,
)
from tests.support.emulator import running_emulator
from tests.support.youtube import MemoryLedger

EPOCH = datetime(2026, 7, 15, 12, 0, tzinfo=UTC)


def clock():
    return EPOCH


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return synthetic_catalog(seed=5, epoch=EPOCH, channels=6, videos=160)


@pytest.fixture(scope="module")
def emulator(catalog):
    with running_emulator(catalog, clock=clock, keys=frozenset({"right"})) as running:
        yield running


@pytest.fixture
def ledger():
    return MemoryLedger()


@pytest.fixture
def gateway(emulator, ledger):
    with YouTubeGateway("right", ledger, clock, endpoint=emulator.url) as opened:
        yield opened


def test_every_channel_comes_with_its_counts(gateway, catalog, ledger):
    unknown = "UC" + "0" * 22
    answer = gateway.channels([*catalog.channels, unknown])
    assert set(answer.items) == set(catalog.channels)
    assert answer.missing == (unknown,)
    for channel_id, facts in answer.items.items():
        channel = catalog.channels[channel_id]
        assert facts.title == channel.title
        assert facts.handle == channel.handle
        assert (facts.subscriber_count is None) == channel.hidden_subscribers
    assert ledger.booked == {"units": 1}


def test_a_channel_is_found_by_what_people_type(gateway, catalog):
    channel = next(channel for channel in catalog.channels.values() if channel.handle)
    for typed in (
        channel.channel_id,
        channel.handle,
        f"https://www.youtube.com/{channel.handle}",
        f"https://www.youtube.com/channel/{channel.channel_id}",
    ):
        assert gateway.resolve(typed).channel_id == channel.channel_id
    with pytest.raises(PermanentError) as caught:
        gateway.resolve("@nobody-of-that-name")
    assert caught.value.reason == "channelNotFound"


def test_paging_through_uploads_finds_every_public_video_once(gateway, catalog, ledger):
    largest = max(catalog.channels, key=lambda c: len(catalog.uploads(c, EPOCH)))
    playlist = gateway.channels([largest]).items[largest].uploads_playlist_id
    found, token, pages = [], None, 0
    while pages == 0 or token:
        page = gateway.uploads_page(playlist, token)
        found += page.video_ids
        token, pages = page.next_page_token, pages + 1
    assert found == [video.video_id for video in catalog.uploads(largest, EPOCH)]
    assert ledger.booked["units"] == 1 + pages == 1 + -(-len(found) // 50)


def test_an_unknown_page_is_the_tokens_fault(gateway, catalog):
    playlist = "UU" + next(iter(catalog.channels))[2:]
    with pytest.raises(PermanentError) as caught:
        gateway.uploads_page(playlist, "no-such-token")
    assert caught.value.reason == "invalidPageToken"


def test_videos_and_their_statistics_agree_with_the_catalogue(gateway, catalog, ledger):
    ids = [video.video_id for c in catalog.channels for video in catalog.uploads(c, EPOCH)]
    videos = gateway.videos([*ids, "nosuchvideo"])
    counts = gateway.statistics([*ids, "nosuchvideo"])
    assert videos.missing == counts.missing == ("nosuchvideo",)
    assert not videos.refused
    for video_id, facts in videos.items.items():
        video = catalog.videos[video_id]
        assert (facts.channel_id, facts.title) == (video.channel_id, video.title)
        assert facts.published_at == video.published_at
        assert facts.statistics == counts.items[video_id]
        assert facts.statistics.view_count == catalog.views(video, EPOCH)
        assert facts.statistics.like_count == catalog.likes(video, EPOCH)
    calls = -(-(len(ids) + 1) // 50)
    assert ledger.booked == {"units": calls, "batchGetStats": calls}


@pytest.mark.parametrize("key", ["wrong", "right\x00"])
def test_a_wrong_key_is_the_keys_fault_and_nobody_elses(emulator, catalog, key):
    with YouTubeGateway(key, MemoryLedger(), clock, endpoint=emulator.url) as gateway:
        for ask in (gateway.channels, gateway.videos, gateway.statistics):
            with pytest.raises(ApiKeyError):
                ask(list(catalog.videos)[:1] if ask != gateway.channels else catalog.channels)


def test_the_emulators_quota_ends_the_crawl_until_pacific_midnight(catalog):
    ledger = MemoryLedger()
    ids = list(catalog.videos)[:120]
    with (
        running_emulator(catalog, clock=clock, quotas=Quotas(units=1, stats=1)) as running,
        YouTubeGateway("any", ledger, clock, endpoint=running.url) as gateway,
    ):
        answer = gateway.statistics(ids)
        with pytest.raises(QuotaError) as caught:
            gateway.channels(catalog.channels)
    assert len(answer.unasked) == 20
    assert isinstance(answer.failure, QuotaError)
    assert caught.value.reset_at == reset_at(EPOCH)
    assert set(ledger.closed) == {"units", "batchGetStats"}


def test_thumbnails_come_as_the_catalogue_has_them(emulator, catalog):
    videos = [video for c in catalog.channels for video in catalog.uploads(c, EPOCH)][:60]
    pictured = {video.video_id: video for video in videos if video.thumbnails}
    requests = [ThumbnailRequest(video_id) for video_id in [*pictured, "nosuchvideo"]]
    results = {r.video_id: r for r in fetch_all_thumbnails(requests, base_url=emulator.url)}
    missing = results.pop("nosuchvideo")
    assert isinstance(missing, FailedThumbnail)
    assert missing.error.reason == "thumbnailMissing"
    for video_id, result in results.items():
        assert isinstance(result, FetchedThumbnail)
        assert result.content == catalog.picture(pictured[video_id].thumbnails[-1].key)
        assert (result.width, result.height) == (320, 180)
    again = [ThumbnailRequest(i, results[i].etag) for i in results if results[i].etag]
    assert again
    for result in fetch_all_thumbnails(again, base_url=emulator.url):
        assert isinstance(result, UnchangedThumbnail)


def test_the_feed_lists_the_newest_uploads(emulator, catalog):
    channel_id = max(catalog.channels, key=lambda c: len(catalog.uploads(c, EPOCH)))
    feed = fetch_feed(channel_id, base_url=emulator.url)
    assert isinstance(feed, Feed)
    newest = catalog.uploads(channel_id, EPOCH)[:15]
    assert [entry.video_id for entry in feed.entries] == [video.video_id for video in newest]
    assert abs(feed.entries[0].published_at - newest[0].published_at) < timedelta(seconds=1)
