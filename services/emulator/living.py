"""An invented YouTube that lives on after its epoch: uploads, swaps, deletions, closing channels.

All of it is decided when the catalogue is made and written down as moments, so the truth at any
past or coming moment is a plain question to the catalogue.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np

from services.emulator.catalog import Catalog
from services.emulator.drawing import JPEG_QUALITY, LATENT_LIMIT, draw_thumbnail
from services.emulator.synthetic import (
    DEFAULT_EFFECT,
    InventedChannel,
    draw_uploads,
    invent,
)
from services.emulator.videos import Channel, SteppedViews, Stream, ThumbnailVersion, Video
from services.errors import UsageError

MONTH_DAYS = 30.0
_REENCODED_QUALITY = 71

_Pictures = dict[str, tuple[int, float, int]]
"""Seed, appeal and JPEG quality by key."""


@dataclass(frozen=True, slots=True)
class Life:
    """How much happens. Shares are of the videos or channels, in a month of 30 days.

    Attributes:
        uploads: New videos of the median channel; others upload up to ten times as often.
        deleted: Videos that are deleted.
        private: Videos made private; half of them come back some days later.
        swapped: Videos whose thumbnail is replaced by another picture.
        reencoded: Videos whose thumbnail is served in other bytes.
        closed: Channels closed by their owner.
        suspended: Channels closed by YouTube.
        hiding: Channels that hide their subscribers from some moment on.
        shorts: Share of all videos that are Shorts.
        streams: Share of the new uploads that are announced first and then broadcast.
        premieres: Share of the new uploads that are premieres.
    """

    uploads: float = 4.0
    deleted: float = 0.01
    private: float = 0.01
    swapped: float = 0.05
    reencoded: float = 0.03
    closed: float = 0.02
    suspended: float = 0.01
    hiding: float = 0.03
    shorts: float = 0.2
    streams: float = 0.08
    premieres: float = 0.04


def living_catalog(
    *,
    seed: int,
    epoch: datetime,
    days: float,
    channels: int = 60,
    videos: int = 1_500,
    effect: float = DEFAULT_EFFECT,
    swap_effect: float | None = None,
    hidden_share: float = 0.05,
    life: Life | None = None,
) -> Catalog:
    """Return an invented catalogue that lives for ``days`` after its epoch; the same, the same.

    At the epoch it has the channels and ``videos`` of ``synthetic_catalog``, a share of them
    Shorts. Later uploads are drawn the same way and come on top.

    Args:
        seed: Any integer ≥ 0.
        epoch: When life begins (aware); its fraction of a second is dropped.
        days: How long things happen, > 0; afterwards only views grow.
        channels: Number of channels, ≥ 1.
        videos: Number of videos at the epoch, at least one a channel.
        effect: log10 of views/day per standard deviation of the visual latent.
        swap_effect: The same for a swapped thumbnail: a video's rate is multiplied by
            10^(swap_effect · difference of the latents) from the swap on. None: as ``effect``.
        hidden_share: Share of channels that hide their subscribers from the start.
        life: How much happens.

    Raises:
        UsageError: If an argument is out of range.
    """
    if not 0 < days < 3_650:  # noqa: PLR2004 - ten years
        raise UsageError(f"The world can live for more than 0 and less than 3650 days, not {days}.")
    life = life or Life()
    swap_effect = effect if swap_effect is None else swap_effect
    epoch = epoch.replace(microsecond=0)
    invented = invent(
        seed=seed,
        epoch=epoch,
        channels=channels,
        videos=videos,
        effect=effect,
        hidden_share=hidden_share,
    )
    pictures: _Pictures = {}
    made_channels, made_videos = [], []
    for index, one in enumerate(invented):
        # A seed a channel: what happens on one leaves the others as they were.
        source = np.random.SeedSequence([seed, index, 1])
        fate = _Fate(np.random.default_rng(source), epoch, days, life, swap_effect, pictures)
        made_channels.append(fate.of_channel(one.channel))
        made_videos += [fate.of_video(video, picture) for video, picture in one.uploads]
        made_videos += [
            fate.of_video(fate.announced(video), picture)
            for video, picture in _later_uploads(one, fate, source, effect)
        ]
    return Catalog.of(
        made_channels,
        made_videos,
        epoch=epoch,
        picture=lambda key: _draw(pictures, key),
        facts={
            "kind": "living",
            "seed": seed,
            "effect": effect,
            "swap_effect": swap_effect,
            "days": days,
        },
    )


def _later_uploads(
    one: InventedChannel, fate: "_Fate", source: np.random.SeedSequence, effect: float
) -> list[tuple[Video, int]]:
    """Return what a channel uploads after the epoch, at a pace of its own."""
    names = ("videos", "pictures", "words", "ids")
    spawned = zip(names, source.spawn(len(names)), strict=True)
    streams = {name: np.random.default_rng(stream) for name, stream in spawned}
    pace = fate.life.uploads * min(float(fate.rng.lognormal(0, 0.8)), 10.0)
    ages = -np.sort(fate.rng.uniform(0, fate.days, fate.rng.poisson(pace * fate.days / MONTH_DAYS)))
    return draw_uploads(
        streams,
        one.channel.channel_id,
        ages,
        level=one.level,
        effect=effect,
        topic=one.topic,
        epoch=fate.epoch,
    )


@dataclass(frozen=True, slots=True)
class _Fate:
    """Draws what happens to one channel and its videos."""

    rng: np.random.Generator
    epoch: datetime
    days: float
    life: Life
    swap_effect: float
    pictures: _Pictures

    def of_channel(self, channel: Channel) -> Channel:
        ends_at, hides_at = self._moment(self.epoch), self._moment(self.epoch)
        happens, hides = self.rng.random(2)
        closed, suspended = self._chance(self.life.closed), self._chance(self.life.suspended)
        if hides < self._chance(self.life.hiding):
            channel = replace(channel, hides_subscribers_at=hides_at)
        if happens < closed:
            return replace(channel, standing="closed", ends_at=ends_at)
        if happens < closed + suspended:
            return replace(channel, standing="suspended", ends_at=ends_at)
        return channel

    def announced(self, video: Video) -> Video:
        """Make some uploads broadcasts: announced first, on air later, then ordinary videos."""
        kind = float(self.rng.random())
        wait, late = self.rng.uniform(3_600, 172_800), self.rng.uniform(0, 600)
        if kind >= self.life.streams + self.life.premieres or video.duration is None:
            return video
        scheduled = video.published_at + timedelta(seconds=round(float(wait)))
        premiere = kind >= self.life.streams
        # A premiere begins to the second; who broadcasts live is late.
        start = scheduled + timedelta(seconds=0 if premiere else round(float(late)))
        stream = Stream(scheduled, start, start + video.duration, premiere)
        return replace(video, stream=stream)

    def of_video(self, video: Video, picture: int) -> Video:
        self.pictures[video.video_id] = (picture, video.appeal or 0.0, JPEG_QUALITY)
        since = max(self.epoch, video.published_at)
        chances = self.rng.random(5)
        short, swap, reencode, private, deleted = (float(chance) for chance in chances)
        seconds = int(self.rng.integers(15, 181))
        if short < self.life.shorts and video.stream is None:
            video = replace(video, short=True, duration=timedelta(seconds=seconds))
        if swap < self._chance(self.life.swapped):
            video = self._swapped(video, self._moment(since))
        if reencode < self._chance(self.life.reencoded):
            video = self._reencoded(video, self._moment(since))
        if private < self._chance(self.life.private):
            hidden_at = self._moment(since)
            back = hidden_at + timedelta(hours=int(self.rng.integers(24, 240)))
            until = back if self.rng.random() < 0.5 else None  # noqa: PLR2004 - half come back
            video = replace(video, private=((hidden_at, until),))
        if deleted < self._chance(self.life.deleted):
            video = replace(video, deleted_at=self._moment(since))
        return video

    def _swapped(self, video: Video, at: datetime) -> Video:
        key = f"{video.video_id}/swapped"
        before = video.appeal or 0.0
        appeal = float(self.rng.uniform(-LATENT_LIMIT, LATENT_LIMIT))
        self.pictures[key] = (int(self.rng.integers(0, 1 << 62)), appeal, JPEG_QUALITY)
        version = ThumbnailVersion(at, key, appeal=appeal)
        age = max(at - (video.begins_at or video.published_at), timedelta(0))
        factor = 10 ** (self.swap_effect * (appeal - before))
        return replace(
            video,
            thumbnails=(*video.thumbnails, version),
            views=SteppedViews(video.views, ((age, factor),)),
        )

    def _reencoded(self, video: Video, at: datetime) -> Video:
        """Serve the picture in force at ``at`` in other bytes, until the next version."""
        earlier = [version for version in video.thumbnails if version.since < at]
        later = [version for version in video.thumbnails if version.since >= at]
        if not earlier:
            return video
        key = f"{earlier[-1].key}/reencoded"
        seed, appeal, _ = self.pictures[earlier[-1].key]
        self.pictures[key] = (seed, appeal, _REENCODED_QUALITY)
        version = ThumbnailVersion(at, key, reencoded=True, appeal=earlier[-1].appeal)
        return replace(video, thumbnails=(*earlier, version, *later))

    def _moment(self, since: datetime) -> datetime:
        """Return a moment between ``since`` and the end of the days, in whole seconds."""
        left = (self.epoch + timedelta(days=self.days) - since).total_seconds()
        return since + timedelta(seconds=int(self.rng.uniform(1, max(left, 2.0))))

    def _chance(self, a_month: float) -> float:
        """Return the chance within the days of what has this chance within a month."""
        never: float = (1.0 - a_month) ** (self.days / MONTH_DAYS)
        return 1.0 - never


def _draw(pictures: Mapping[str, tuple[int, float, int]], key: str) -> bytes:
    seed, appeal, quality = pictures[key]
    return draw_thumbnail(seed, appeal, quality=quality)
