from collections import Counter
from datetime import UTC, datetime, timedelta
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from services.emulator.catalog import Catalog
from services.emulator.drawing import draw_thumbnail
from services.emulator.synthetic import synthetic_catalog
from services.emulator.videos import CHANNEL_ID, VIDEO_ID
from services.errors import UsageError

EPOCH = datetime(2026, 11, 1, tzinfo=UTC)
SEEDS = (0, 1, 2)


@pytest.fixture(scope="module")
def worlds() -> dict[int, Catalog]:
    return {seed: synthetic_catalog(seed=seed, epoch=EPOCH) for seed in SEEDS}


def small(**changes):
    return synthetic_catalog(**{"seed": 5, "epoch": EPOCH, "channels": 6, "videos": 40, **changes})


def table(world: Catalog) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """log10 views a day, log10 subscribers, appeal; one entry a video."""
    videos = list(world.videos.values())
    days = [(EPOCH - video.published_at) / timedelta(days=1) for video in videos]
    views = [world.views(video, EPOCH) for video in videos]
    subscribers = [world.channels[video.channel_id].subscribers for video in videos]
    rates = np.log10(np.array(views) / np.array(days) + 1)
    return rates, np.log10(subscribers), np.array([video.appeal for video in videos])


def r_squared(target: np.ndarray, *features: np.ndarray) -> float:
    design = np.column_stack([*features, np.ones_like(target)])
    rest = target - design @ np.linalg.lstsq(design, target, rcond=None)[0]
    return float(1 - rest.var() / target.var())


def test_a_world_has_the_size_asked_for(worlds):
    for world in worlds.values():
        counts = Counter(video.channel_id for video in world.videos.values())
        assert (len(world.channels), len(world.videos)) == (60, 1_500)
        assert counts.keys() == world.channels.keys()
        assert min(counts.values()) >= 4
        assert max(counts.values()) > 2 * np.median(list(counts.values()))


def test_ids_are_well_formed_and_handles_unique(worlds):
    for world in worlds.values():
        assert all(CHANNEL_ID.fullmatch(name) for name in world.channels)
        assert all(VIDEO_ID.fullmatch(name) for name in world.videos)
        assert len({channel.handle for channel in world.channels.values()}) == 60


def test_subscribers_are_heavy_tailed_and_a_few_are_hidden(worlds):
    for world in worlds.values():
        subscribers = [channel.subscribers for channel in world.channels.values()]
        assert 50 <= min(subscribers) < 1_000
        assert max(subscribers) > 3_000_000
        assert sum(channel.hidden_subscribers for channel in world.channels.values()) == 3


def test_about_half_of_the_videos_reach_a_hundred_views_a_day(worlds):
    shares = [np.mean(table(world)[0] >= np.log10(101)) for world in worlds.values()]
    assert all(0.3 < share < 0.7 for share in shares)


def test_ages_span_three_days_to_two_years(worlds):
    for world in worlds.values():
        ages = sorted((EPOCH - v.published_at) / timedelta(days=1) for v in world.videos.values())
        assert 3 <= ages[0] < 4
        assert 600 < ages[-1] <= 730


def test_subscribers_decide_most_and_the_thumbnail_adds_what_was_planted(worlds):
    for world in worlds.values():
        rate, subscribers, appeal = table(world)
        alone = r_squared(rate, subscribers)
        assert 0.5 < alone < 0.9
        assert 0.05 < r_squared(rate, subscribers, appeal) - alone < 0.10


def test_without_an_effect_the_thumbnail_adds_nothing():
    rate, subscribers, appeal = table(synthetic_catalog(seed=0, epoch=EPOCH, effect=0))
    assert r_squared(rate, subscribers, appeal) - r_squared(rate, subscribers) < 0.005


def test_the_latent_says_nothing_about_channel_or_subscribers(worlds):
    for world in worlds.values():
        _, subscribers, appeal = table(world)
        assert abs(np.corrcoef(subscribers, appeal)[0, 1]) < 0.02
        assert abs(appeal.mean()) < 0.02
        assert appeal.std() == pytest.approx(1, abs=0.02)


def test_the_same_seed_and_epoch_give_the_same_world():
    one, other = small(), small()
    assert (one.channels, one.videos) == (other.channels, other.videos)
    assert all(one.picture(name) == other.picture(name) for name in one.videos)
    assert small(seed=6).videos.keys().isdisjoint(one.videos)


def test_the_effect_changes_views_and_nothing_else():
    planted, absent = small(effect=0.5), small(effect=0)
    assert planted.channels == absent.channels
    for name, video in planted.videos.items():
        twin = absent.videos[name]
        assert (video.title, video.published_at, video.appeal) == (
            twin.title,
            twin.published_at,
            twin.appeal,
        )
        assert planted.picture(name) == absent.picture(name)
    assert any(video.views != absent.videos[name].views for name, video in planted.videos.items())


def test_another_epoch_moves_dates_only():
    week = timedelta(days=7)
    now, later = small(), small(epoch=EPOCH + week)
    for name, video in now.videos.items():
        assert later.videos[name].published_at == video.published_at + week
        assert later.videos[name].views == video.views


def test_thumbnails_are_varied_jpegs_of_the_right_size():
    world = small()
    pictures = [world.picture(name) for name in world.videos]
    assert len(set(pictures)) == len(pictures)
    for data in pictures:
        with Image.open(BytesIO(data)) as image:
            assert (image.format, image.size, image.mode) == ("JPEG", (320, 180), "RGB")


def test_the_latent_can_be_seen_in_the_picture():
    rng = np.random.default_rng(0)
    appeals = rng.uniform(-1.7, 1.7, 150)
    warmth = []
    for seed, appeal in enumerate(appeals):
        with Image.open(BytesIO(draw_thumbnail(seed, float(appeal)))) as image:
            pixels = np.asarray(image, np.float32)
        vivid = np.ptp(pixels, axis=2) > 70
        warmth.append((pixels[..., 0] - pixels[..., 2])[vivid].mean() if vivid.any() else 0.0)
    assert np.corrcoef(appeals, warmth)[0, 1] > 0.85


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"channels": 0}, "at least one channel"),
        ({"channels": 41}, "too few"),
        ({"seed": -1}, "seed"),
        ({"hidden_share": 1.5}, "hidden"),
        ({"effect": float("nan")}, "effect"),
    ],
)
def test_an_impossible_world_is_refused(wrong, says):
    with pytest.raises(UsageError, match=says):
        small(**wrong)
