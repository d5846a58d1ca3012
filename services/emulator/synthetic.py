"""An invented YouTube: subscribers decide most of the views, the thumbnail as much as planted."""

import base64
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import NormalDist

import numpy as np

from services.emulator.catalog import Catalog
from services.emulator.drawing import LATENT_LIMIT, draw_thumbnail
from services.emulator.labels import audio_label, language_of
from services.emulator.titles import channel_title, video_title
from services.emulator.videos import Channel, DecayingViews, ThumbnailVersion, Video
from services.errors import UsageError

DEFAULT_EFFECT = 0.32
"""log10 of views/day that one standard deviation of the visual latent adds."""

FEWEST_VIDEOS_A_CHANNEL = 4

# log10 subscribers: median 25,000; 60 channels then span about a hundred to tens of millions.
_SUBSCRIBERS = NormalDist(mu=4.4, sigma=1.2)
_FEWEST_SUBSCRIBERS, _MOST_SUBSCRIBERS = 50, 60_000_000

# log10 of the first day's views at median subscribers, and its slope in log10 subscribers. With
# the fading of ``DecayingViews`` half of the videos then have more than 100 views a day.
_INTERCEPT, _SLOPE = 2.25, 0.8
_CHANNEL_SPREAD, _VIDEO_SPREAD = 0.30, 0.38

_YOUNGEST_DAYS, _OLDEST_DAYS = 3.0, 730.0


def synthetic_catalog(
    *,
    seed: int,
    epoch: datetime,
    channels: int = 60,
    videos: int = 1_500,
    effect: float = DEFAULT_EFFECT,
    hidden_share: float = 0.05,
) -> Catalog:
    """Return an invented catalogue; the same arguments give the same world, byte for byte.

    ids, titles, thumbnails, subscribers and rates depend on ``seed`` and the sizes alone, dates on
    ``epoch`` too; ``effect`` changes views and nothing else.

    Args:
        seed: Any integer ≥ 0.
        epoch: The moment the drawn ages refer to (aware); its fraction of a second is dropped.
        channels: Number of channels, ≥ 1.
        videos: Number of videos over all channels, at least one a channel.
        effect: log10 of views/day per standard deviation of the visual latent; 0 plants nothing.
        hidden_share: Share of channels that hide their subscribers, in [0, 1].

    Raises:
        UsageError: If an argument is out of range.
    """
    epoch = epoch.replace(microsecond=0)
    invented = invent(
        seed=seed,
        epoch=epoch,
        channels=channels,
        videos=videos,
        effect=effect,
        hidden_share=hidden_share,
    )
    drawn_from = {
        video.video_id: (picture, video.appeal or 0.0)
        for channel in invented
        for video, picture in channel.uploads
    }
    return Catalog.of(
        [one.channel for one in invented],
        [video for one in invented for video, _ in one.uploads],
        epoch=epoch,
        picture=lambda key: draw_thumbnail(*drawn_from[key]),
        facts={"kind": "synthetic", "seed": seed, "effect": effect},
    )


@dataclass(frozen=True, slots=True)
class InventedChannel:
    """A channel and what its videos are drawn from.

    Attributes:
        channel: The channel.
        level: log10 of the first day's views of its average video.
        topic: What its titles are about.
        uploads: Its videos, each with the seed of its picture.
    """

    channel: Channel
    level: float
    topic: int
    uploads: list[tuple[Video, int]]


def invent(
    *,
    seed: int,
    epoch: datetime,
    channels: int,
    videos: int,
    effect: float,
    hidden_share: float,
) -> list[InventedChannel]:
    """Return the channels of ``synthetic_catalog``, whose arguments these are, before serving.

    Raises:
        UsageError: If an argument is out of range.
    """
    _check(seed=seed, channels=channels, videos=videos, hidden_share=hidden_share)
    if not math.isfinite(effect):
        raise UsageError(f"The effect must be a finite number, not {effect}.")
    # One stream a purpose: changing one part of the world leaves the others as they were.
    names = ("channels", "counts", "videos", "pictures", "words", "ids")
    streams = dict(zip(names, np.random.SeedSequence(seed).spawn(len(names)), strict=True))
    rng = {name: np.random.default_rng(stream) for name, stream in streams.items()}
    counts = _videos_per_channel(rng["counts"], channels, videos)
    log_subscribers = _log_subscribers(rng["channels"], channels)
    hidden = set(rng["channels"].permutation(channels)[: round(hidden_share * channels)].tolist())
    channel_effects = rng["channels"].normal(0, _CHANNEL_SPREAD, channels)

    invented = []
    for index, count in enumerate(counts):
        channel_id = "UC" + _token(rng["ids"], 22)
        topic = int(rng["words"].integers(0, 1 << 16))
        level = _INTERCEPT + _SLOPE * (log_subscribers[index] - _SUBSCRIBERS.mean)
        level += channel_effects[index]
        limits = math.log10(_YOUNGEST_DAYS), math.log10(_OLDEST_DAYS)
        ages = 10 ** rng["videos"].uniform(*limits, count)
        uploads = draw_uploads(
            rng, channel_id, ages, level=level, effect=effect, topic=topic, epoch=epoch
        )
        title = channel_title(topic, rng["words"])
        oldest = min(video.published_at for video, _ in uploads)
        channel = Channel(
            channel_id=channel_id,
            title=title,
            handle=f"@{_handle(title)}{index}",
            description=f"{title}: new videos whenever there is something to show.",
            published_at=oldest - timedelta(days=int(rng["words"].integers(1, 2000))),
            country=str(rng["words"].choice(["US", "GB", "IN", "TW", "SG"])),
            subscribers=round(10 ** log_subscribers[index]),
            hidden_subscribers=index in hidden,
            daily_growth=float(rng["channels"].lognormal(math.log(4e-4), 0.7)),
        )
        invented.append(InventedChannel(channel, level, topic, uploads))
    return invented


def _check(*, seed: int, channels: int, videos: int, hidden_share: float) -> None:
    if seed < 0:
        raise UsageError(f"The seed must be 0 or more, not {seed}.")
    if channels < 1:
        raise UsageError(f"A catalogue needs at least one channel, not {channels}.")
    if videos < channels:
        raise UsageError(
            f"{videos} videos are too few for {channels} channels: give each channel at least one."
        )
    if not 0 <= hidden_share <= 1:
        raise UsageError(f"The share of hidden subscribers lies in 0..1, not {hidden_share}.")


def _videos_per_channel(rng: np.random.Generator, channels: int, videos: int) -> list[int]:
    """Split ``videos`` over the channels: a few for each, the rest by Pareto weights."""
    floor = min(FEWEST_VIDEOS_A_CHANNEL, videos // channels)
    # Capped, or one channel would own most of a small world and a split by channel would fail.
    weights = np.minimum(rng.pareto(1.3, channels) + 0.3, 6.0)
    extra = rng.multinomial(videos - floor * channels, weights / weights.sum())
    return [floor + int(more) for more in extra]


def _log_subscribers(rng: np.random.Generator, channels: int) -> list[float]:
    """Return log10 subscribers, log-normal, one from each of ``channels`` equal shares.

    Stratified: a small world too has both its tiny and its huge channels.
    """
    shares = (rng.permutation(channels) + rng.uniform(0.02, 0.98, channels)) / channels
    limits = math.log10(_FEWEST_SUBSCRIBERS), math.log10(_MOST_SUBSCRIBERS)
    return [float(np.clip(_SUBSCRIBERS.inv_cdf(share), *limits)) for share in shares.tolist()]


def draw_uploads(
    rng: Mapping[str, np.random.Generator],
    channel_id: str,
    ages: np.ndarray,
    *,
    level: float,
    effect: float,
    topic: int,
    epoch: datetime,
) -> list[tuple[Video, int]]:
    """Return a channel's videos, each with the seed of its picture.

    Args:
        rng: Streams named ``videos``, ``pictures``, ``words`` and ``ids``.
        channel_id: Whose videos they are.
        ages: Age of each at the epoch in days; negative for what is yet to be published.
        level: log10 of the first day's views of the channel's average video.
        effect: See ``synthetic_catalog``.
        topic: What the titles are about.
        epoch: The moment the ages refer to.
    """
    numbers, words, count = rng["videos"], rng["words"], len(ages)
    noise = numbers.normal(0, _VIDEO_SPREAD, count)
    minutes = np.clip(numbers.lognormal(math.log(9), 0.6, count), 3.2, 180)
    like_ratio = numbers.uniform(0.01, 0.06) * numbers.uniform(0.7, 1.3, count)
    comment_ratio = numbers.uniform(0.0005, 0.006) * numbers.uniform(0.5, 1.5, count)
    rare = numbers.random((count, 4))
    appeal = _appeal(rng["pictures"], count)
    seeds = rng["pictures"].integers(0, 1 << 62, count)
    uploads = []
    for i in range(count):
        published_at = epoch - timedelta(seconds=round(float(ages[i]) * 86_400))
        video_id = _token(rng["ids"], 11)
        title = video_title(topic, words)
        rate = 10 ** (level + float(noise[i]) + effect * float(appeal[i]))
        video = Video(
            video_id=video_id,
            channel_id=channel_id,
            title=title,
            description=f"{title}\n\nThank you for watching.",
            published_at=published_at,
            views=DecayingViews(rate),
            duration=timedelta(seconds=round(float(minutes[i]) * 60)),
            category_id=("22", "24", "26", "27", "28")[topic % 5],
            tags=tuple(title.lower().split()[:4]) if rare[i, 0] < 0.8 else (),  # noqa: PLR2004
            language=audio_label(video_id, language_of(title)),
            spoken=language_of(title),
            like_ratio=float(like_ratio[i]) if rare[i, 1] < 0.97 else None,  # noqa: PLR2004
            comment_ratio=float(comment_ratio[i]) if rare[i, 2] < 0.95 else None,  # noqa: PLR2004
            thumbnails=(ThumbnailVersion(published_at, video_id, appeal=float(appeal[i])),),
            sizes=_sizes(float(rare[i, 3])),
            appeal=float(appeal[i]),
        )
        uploads.append((video, int(seeds[i])))
    return uploads


def _appeal(rng: np.random.Generator, count: int) -> np.ndarray:
    """Return latents, uniform with variance 1, spread evenly within the channel.

    Even within each channel, so that the latent tells nothing about the channel or its
    subscribers, not even by chance.
    """
    shares = (rng.permutation(count) + rng.uniform(0, 1, count)) / count
    return np.asarray((2 * shares - 1) * LATENT_LIMIT)


def _sizes(share: float) -> frozenset[str]:
    """96 % of real videos have ``sddefault`` and 88 % ``maxresdefault``, which implies it."""
    if share < 0.88:  # noqa: PLR2004
        return frozenset({"sddefault", "maxresdefault"})
    return frozenset({"sddefault"}) if share < 0.96 else frozenset()  # noqa: PLR2004


def _token(rng: np.random.Generator, length: int) -> str:
    """Return ``length`` characters of the alphabet that ids are written in."""
    return base64.urlsafe_b64encode(rng.bytes(length)).decode()[:length]


def _handle(title: str) -> str:
    return "".join(filter(str.isalnum, title.lower()))
