from collections import Counter
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from services.emulator.catalog import Catalog
from services.emulator.living import Life, living_catalog
from services.emulator.methods import playlist_items_list
from services.emulator.problems import ApiError
from services.emulator.query import Query
from services.emulator.resources import broadcast_state, video_resource
from services.emulator.videos import DecayingViews, SteppedViews, Stream, Video
from services.errors import UsageError

EPOCH = datetime(2026, 11, 1, tzinfo=UTC)
DAY = timedelta(days=1)
EVENTFUL = Life(
    uploads=8, deleted=0.2, private=0.2, swapped=0.4, reencoded=0.3, closed=0.3, suspended=0.2,
    hiding=0.4, streams=0.2, premieres=0.2,
)  # fmt: skip


def living(**changes) -> Catalog:
    asked = {"seed": 5, "epoch": EPOCH, "days": 30, "channels": 12, "videos": 120}
    return living_catalog(**{**asked, "life": EVENTFUL, **changes})


@pytest.fixture(scope="module")
def world() -> Catalog:
    return living()


@pytest.fixture(scope="module")
def later(world) -> list[Video]:
    return [video for video in world.videos.values() if video.published_at > EPOCH]


def test_the_same_arguments_give_the_same_life(world):
    again = living()
    assert again.channels == world.channels
    assert again.videos == world.videos
    assert living(seed=6).videos != world.videos


def test_what_happens_on_one_channel_leaves_the_others_alone(world):
    quiet = living(life=replace(EVENTFUL, uploads=0.001))
    before = {name for name, video in world.videos.items() if video.published_at <= EPOCH}
    assert before == {name for name, video in quiet.videos.items() if video.published_at <= EPOCH}


def test_channels_upload_at_paces_of_their_own(world, later):
    assert all(EPOCH < video.published_at <= EPOCH + 30 * DAY for video in later)
    paces = Counter(video.channel_id for video in later)
    assert 60 < len(later) < 400
    assert max(paces.values()) > 3 * min(paces[channel] for channel in world.channels)
    for video in later:
        assert world.video(video.video_id, EPOCH) is None
        assert world.visibility(video, video.published_at) in ("public", "channel ended")


def test_everything_that_can_happen_happens(world):
    videos, channels = world.videos.values(), world.channels.values()
    end = EPOCH + 30 * DAY
    assert {world.visibility(video, end) for video in videos} == {
        "public", "deleted", "private", "channel ended",
    }  # fmt: skip
    assert {world.standing(channel, end) for channel in channels} == {
        "open", "closed", "suspended",
    }  # fmt: skip
    assert all(world.standing(channel, EPOCH) == "open" for channel in channels)
    assert any(
        world.hides_subscribers(channel, end) > world.hides_subscribers(channel, EPOCH)
        for channel in channels
    )
    back = [v for v in videos if v.private and v.private[0][1] is not None]
    assert back
    for video in back:
        [(hidden_at, until)] = video.private
        alone = replace(world, channels={
            name: replace(channel, standing="open") for name, channel in world.channels.items()
        })  # fmt: skip
        shown = replace(video, deleted_at=None)
        seen = [
            alone.visible(shown, hidden_at - timedelta(seconds=1)),
            alone.visible(shown, hidden_at),
            alone.visible(shown, until),
        ]
        assert seen == [hidden_at > video.published_at, False, True]


def test_a_swap_shows_another_picture_and_changes_the_rate_by_what_was_planted(world):
    swapped = [v for v in world.videos.values() if isinstance(v.views, SteppedViews)]
    assert len(swapped) > 20
    factors, differences = [], []
    for video in swapped:
        [version] = [v for v in video.thumbnails if v.key.endswith("/swapped")]
        [(age, factor)] = video.views.steps
        assert version.since >= EPOCH
        assert video.stream or age == version.since - video.published_at
        factors.append(np.log10(factor))
        differences.append(version.appeal - video.appeal)
    assert np.allclose(factors, np.array(differences) * world.facts["effect"])
    # The planted effect of the swaps is a knob of its own.
    unmoved = living(swap_effect=0.0)
    assert all(
        factor == 1
        for video in unmoved.videos.values()
        if isinstance(video.views, SteppedViews)
        for _, factor in video.views.steps
    )


def test_a_reencoded_picture_looks_the_same_and_a_swapped_one_does_not(world):
    def pixels(key: str) -> np.ndarray:
        return np.asarray(Image.open(BytesIO(world.picture(key))).convert("L"), float)

    distances: dict[bool, list[float]] = {True: [], False: []}
    for video in world.videos.values():
        for before, after in zip(video.thumbnails, video.thumbnails[1:], strict=False):
            assert before.since < after.since
            assert world.picture(before.key) != world.picture(after.key)
            distance = float(np.abs(pixels(before.key) - pixels(after.key)).mean())
            distances[after.reencoded].append(distance)
    assert len(distances[True]) > 10
    assert max(distances[True]) < 3 < min(distances[False])


def test_broadcasts_are_announced_then_live_then_ordinary(world, later):
    streams = [video for video in later if video.stream is not None]
    assert {video.stream.premiere for video in streams} == {True, False}
    for video in streams:
        stream = video.stream
        times = (video.published_at, stream.actual_start, stream.actual_end)
        assert [broadcast_state(video, at) for at in times] == ["upcoming", "live", "none"]
        assert world.views(video, stream.actual_start - timedelta(seconds=1)) == 0
        assert world.views(video, stream.actual_end + 400 * DAY) > 0
        parts = frozenset({"contentDetails", "status", "liveStreamingDetails"})
        coming, _, over = (video_resource(world, video, parts, at) for at in times)
        # A premiere's length is known before it is shown; a stream's is not.
        assert (coming["contentDetails"]["duration"] == "P0D") is not stream.premiere
        assert coming["status"]["uploadStatus"] == ("processed" if stream.premiere else "uploaded")
        assert "actualStartTime" not in coming["liveStreamingDetails"]
        assert "actualEndTime" in over["liveStreamingDetails"]
        assert over["contentDetails"]["duration"] != "P0D"


def test_the_lists_by_format_part_a_channels_uploads(world):
    at = EPOCH + 29 * DAY

    def listed(prefix: str, channel_id: str) -> set[str]:
        pairs = [("part", "contentDetails"), ("playlistId", prefix + channel_id[2:])]
        answer = playlist_items_list(world, Query([*pairs, ("maxResults", "50")]), at)
        return {item["contentDetails"]["videoId"] for item in answer["items"]}

    busy = [
        name
        for name, channel in world.channels.items()
        if world.standing(channel, at) == "open" and 0 < len(world.uploads(name, at)) <= 50
    ]
    kinds = Counter(
        "short" if v.short else "stream" if v.stream and not v.stream.premiere else "long"
        for name in busy
        for v in world.uploads(name, at)
    )
    assert kinds.keys() == {"short", "stream", "long"}
    for name in busy:
        parts = []
        for prefix in ("UULF", "UUSH", "UULV"):
            # An empty list is a 404, as on YouTube.
            with suppress(ApiError):
                parts.append(listed(prefix, name))
        assert listed("UU", name) == set().union(*parts)
        assert sum(map(len, parts)) == len(listed("UU", name))


def test_shorts_are_short(world):
    shorts = [video for video in world.videos.values() if video.short]
    assert 0.1 < len(shorts) / len(world.videos) < 0.3
    assert all(video.duration <= timedelta(minutes=3) for video in shorts)


@given(
    st.lists(
        st.tuples(st.timedeltas(timedelta(0), 60 * DAY), st.floats(0, 10)), min_size=1, max_size=4
    ).map(lambda steps: tuple(sorted(steps))),
    st.timedeltas(timedelta(0), 90 * DAY),
    st.timedeltas(timedelta(0), 90 * DAY),
)
def test_stepped_views_never_fall_and_follow_their_base_before_the_first_step(steps, one, other):
    base = DecayingViews(100)
    curve = SteppedViews(base, steps)
    young, old = min(one, other), max(one, other)
    assert curve.total(young) <= curve.total(old) + 1e-6
    first = min(young, steps[0][0])
    assert curve.total(first) == pytest.approx(base.total(first))


def test_a_broadcast_that_never_starts_gets_no_views(world):
    video = next(iter(world.videos.values()))
    waiting = replace(video, stream=Stream(EPOCH))
    assert world.views(waiting, EPOCH + 900 * DAY) == 0


@pytest.mark.parametrize("days", [0, -1, float("nan"), 1e9])
def test_a_life_of_no_length_is_refused(days):
    with pytest.raises(UsageError, match="can live"):
        living(days=days)
