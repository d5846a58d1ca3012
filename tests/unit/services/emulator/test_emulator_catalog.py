from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.emulator.catalog import Catalog
from services.emulator.videos import Channel, DecayingViews, RecordedViews, ThumbnailVersion, Video

EPOCH = datetime(2026, 11, 1, tzinfo=UTC)
DAY = timedelta(days=1)
CHANNEL = Channel("UC" + "c" * 22, "Channel", EPOCH - 100 * DAY, 1_000)
VIDEO = Video(
    "v" * 11, CHANNEL.channel_id, "Video", EPOCH - 10 * DAY, DecayingViews(500), like_ratio=0.1
)

ages = st.timedeltas(timedelta(0), timedelta(days=4_000))
curves = st.one_of(
    st.builds(DecayingViews, st.floats(0, 1e7), st.floats(0.5, 50), st.floats(0.1, 1)),
    st.builds(RecordedViews, st.integers(0, 10**11), ages),
)


def catalog(*videos: Video, channel: Channel = CHANNEL) -> Catalog:
    return Catalog.of([channel], videos, epoch=EPOCH, picture=str.encode)


@given(curves, ages, ages)
def test_views_never_fall(curve, one, other):
    assert curve.total(min(one, other)) <= curve.total(max(one, other))


@given(st.integers(0, 2**53), ages)
def test_a_recorded_count_is_exact_at_its_age(count, age):
    assert int(RecordedViews(count, age).total(age)) == count


def test_views_start_at_publication():
    world = catalog(VIDEO)
    assert world.views(VIDEO, VIDEO.published_at - DAY) == 0
    assert world.views(VIDEO, VIDEO.published_at) == 0
    assert 0 < world.views(VIDEO, VIDEO.published_at + DAY) <= 500


def test_later_days_bring_fewer_views():
    world = catalog(VIDEO)
    days = [world.views(VIDEO, VIDEO.published_at + n * DAY) for n in (0, 1, 30, 31)]
    assert days[1] - days[0] > 1.5 * (days[3] - days[2])


def test_a_video_is_seen_from_its_publication_to_its_deletion():
    gone = replace(VIDEO, deleted_at=EPOCH + DAY)
    world = catalog(gone)
    for at, seen in ((-11, False), (-10, True), (0, True), (1, False)):
        moment = EPOCH + at * DAY
        assert (world.video(gone.video_id, moment) is not None) is seen
        assert (world.uploads(CHANNEL.channel_id, moment) == [gone]) is seen


def test_uploads_are_newest_first_and_leave_out_what_is_yet_to_come():
    videos = [
        replace(VIDEO, video_id=f"{n:011}", published_at=EPOCH + n * DAY) for n in range(-3, 3)
    ]
    found = catalog(*videos).uploads(CHANNEL.channel_id, EPOCH)
    assert [video.published_at - EPOCH for video in found] == [
        0 * DAY,
        -1 * DAY,
        -2 * DAY,
        -3 * DAY,
    ]


def test_nothing_of_a_closed_channel_is_seen():
    closed = catalog(VIDEO, channel=replace(CHANNEL, standing="closed"))
    assert closed.video(VIDEO.video_id, EPOCH) is None


def test_a_swapped_thumbnail_is_in_force_from_its_day_on():
    versions = (ThumbnailVersion(VIDEO.published_at, "old"), ThumbnailVersion(EPOCH, "new"))
    swapped = replace(VIDEO, thumbnails=versions)
    world = catalog(swapped)
    assert world.thumbnail(swapped, EPOCH - DAY) == versions[0]
    assert world.thumbnail(swapped, EPOCH) == versions[1]
    assert world.thumbnail(VIDEO, EPOCH) is None


def test_subscribers_are_exact_at_the_epoch_and_grow():
    growing = replace(CHANNEL, daily_growth=0.01)
    world = catalog(VIDEO, channel=growing)
    assert world.subscribers(growing, EPOCH) == 1_000
    assert world.subscribers(growing, EPOCH + 70 * DAY) > 2_000


def test_hidden_likes_are_unknown_and_not_zero():
    world = catalog(VIDEO)
    assert world.likes(VIDEO, EPOCH) == int(world.views(VIDEO, EPOCH) * 0.1)
    assert world.comments(VIDEO, EPOCH) is None
