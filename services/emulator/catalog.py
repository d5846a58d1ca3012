"""The world the emulator serves: channels and videos whose numbers are functions of time.

Nothing here is random and nothing is stored: ask the same catalogue about the same moment and it
gives the same answer, so two starts of the emulator differ only by what time itself changes.
"""

import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, Protocol

CHANNEL_ID = re.compile(r"UC[A-Za-z0-9_-]{22}")
VIDEO_ID = re.compile(r"[A-Za-z0-9_-]{11}")

DAY = timedelta(days=1)
# Uploads up to this length count as Shorts when they are upright; see ``Video.short``.
LONGEST_SHORT = timedelta(minutes=3)

Standing = Literal["open", "closed", "suspended"]


class ViewCurve(Protocol):
    """How the views of a video add up with its age."""

    def total(self, age: timedelta) -> float:
        """Return the views gained in the first ``age`` of the video; never falls with age."""
        ...


@dataclass(frozen=True, slots=True)
class DecayingViews:
    """A daily rate that fades as a power of age: many views at first, a long tail after.

    ``total(t) = rate · tau · ((1 + t/tau)^p - 1) / p`` with ``t`` in days, so ``rate`` is the
    views on the first day to come and ``p`` says how slowly they fade.

    Attributes:
        rate: Views a day at age 0.
        tau: Days after which fading sets in.
        exponent: ``p`` in (0, 1].
    """

    rate: float
    tau: float = 10.0
    exponent: float = 0.55

    def total(self, age: timedelta) -> float:
        """Return the views gained in the first ``age``."""
        days = max(age / DAY, 0.0)
        grown: float = (1.0 + days / self.tau) ** self.exponent - 1.0
        return self.rate * self.tau * grown / self.exponent


@dataclass(frozen=True, slots=True)
class RecordedViews:
    """A straight line through one recorded count, reached at one recorded age.

    Attributes:
        views: The recorded count.
        age: The age at which it was recorded.
    """

    views: int
    age: timedelta

    def total(self, age: timedelta) -> float:
        """Return the views at ``age``: exactly ``views`` at the recorded age."""
        if age < self.age:
            return self.views * max(age / self.age, 0.0)
        # A video recorded within a day of its upload has no meaningful rate over a shorter span.
        return self.views + self.views * ((age - self.age) / max(self.age, DAY))


@dataclass(frozen=True, slots=True)
class ThumbnailVersion:
    """A thumbnail in force from ``since`` on; ``key`` is what the picture source knows it by."""

    since: datetime
    key: str


@dataclass(frozen=True, slots=True)
class Stream:
    """A live broadcast's times; None for what has not happened."""

    scheduled_start: datetime
    actual_start: datetime | None = None
    actual_end: datetime | None = None


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel.

    Attributes:
        subscribers: At the catalogue's epoch; the true number, not the rounded one shown.
        hidden_subscribers: The owner does not show the number.
        daily_growth: Growth of subscribers a day, as a fraction.
        standing: Closed and suspended channels answer errors instead of their uploads.
    """

    channel_id: str
    title: str
    published_at: datetime
    subscribers: int
    description: str = ""
    handle: str | None = None
    country: str | None = None
    hidden_subscribers: bool = False
    daily_growth: float = 0.0
    standing: Standing = "open"


@dataclass(frozen=True, slots=True)
class Video:
    """A video.

    Attributes:
        views: Its view curve.
        duration: None when unknown: the API then leaves the field out.
        like_ratio: Likes per view, or None when the owner hides them.
        comment_ratio: Comments per view, or None when comments are off.
        thumbnails: Versions, oldest first; empty for a video whose picture is missing.
        sizes: Which of the sizes beyond ``hqdefault`` exist.
        short: Upright and short: listed among the channel's Shorts.
        deleted_at: From then on the video is gone from every answer.
        appeal: The planted visual latent (mean 0, variance 1), or None when nothing is planted.
    """

    video_id: str
    channel_id: str
    title: str
    published_at: datetime
    views: ViewCurve
    description: str = ""
    duration: timedelta | None = None
    category_id: str = "22"
    tags: tuple[str, ...] = ()
    language: str | None = None
    like_ratio: float | None = None
    comment_ratio: float | None = None
    thumbnails: tuple[ThumbnailVersion, ...] = ()
    sizes: frozenset[str] = frozenset()
    short: bool = False
    stream: Stream | None = None
    deleted_at: datetime | None = None
    appeal: float | None = None


@dataclass(frozen=True, slots=True)
class Catalog:
    """All channels and videos, and the pictures behind their thumbnails.

    Attributes:
        epoch: The moment at which recorded or drawn numbers hold exactly (UTC, whole seconds).
        channels: By channel id.
        videos: By video id.
        picture: Gives the 320x180 JPEG of a ``ThumbnailVersion.key``; called once per key.
        facts: What the world was made with, for operators and tests.
    """

    epoch: datetime
    channels: Mapping[str, Channel]
    videos: Mapping[str, Video]
    picture: Callable[[str], bytes]
    facts: Mapping[str, object] = field(default_factory=dict)
    _uploads: Mapping[str, Sequence[Video]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_channel: dict[str, list[Video]] = defaultdict(list)
        for video in self.videos.values():
            by_channel[video.channel_id].append(video)
        for uploads in by_channel.values():
            uploads.sort(key=lambda video: (video.published_at, video.video_id))
        object.__setattr__(self, "_uploads", dict(by_channel))

    @classmethod
    def of(
        cls,
        channels: Iterable[Channel],
        videos: Iterable[Video],
        *,
        epoch: datetime,
        picture: Callable[[str], bytes],
        facts: Mapping[str, object] | None = None,
    ) -> "Catalog":
        """Return a catalogue of these channels and videos."""
        return cls(
            epoch=epoch,
            channels={channel.channel_id: channel for channel in channels},
            videos={video.video_id: video for video in videos},
            picture=picture,
            facts=facts or {},
        )

    def visible(self, video: Video, at: datetime) -> bool:
        """Return whether anyone can see ``video`` at ``at``."""
        if self.channels[video.channel_id].standing != "open" or video.published_at > at:
            return False
        return video.deleted_at is None or at < video.deleted_at

    def video(self, video_id: str, at: datetime) -> Video | None:
        """Return the video if it exists and is visible at ``at``."""
        video = self.videos.get(video_id)
        return video if video is not None and self.visible(video, at) else None

    def uploads(self, channel_id: str, at: datetime) -> list[Video]:
        """Return the channel's visible videos, newest first."""
        uploads = self._uploads.get(channel_id, ())
        published = bisect_right(uploads, at, key=lambda video: video.published_at)
        return [video for video in reversed(uploads[:published]) if self.visible(video, at)]

    def views(self, video: Video, at: datetime) -> int:
        """Return the view count at ``at``; 0 before publication."""
        return int(video.views.total(at - video.published_at)) if at >= video.published_at else 0

    def likes(self, video: Video, at: datetime) -> int | None:
        """Return the like count, or None when hidden."""
        ratio = video.like_ratio
        return None if ratio is None else int(self.views(video, at) * ratio)

    def comments(self, video: Video, at: datetime) -> int | None:
        """Return the comment count, or None when comments are off."""
        ratio = video.comment_ratio
        return None if ratio is None else int(self.views(video, at) * ratio)

    def subscribers(self, channel: Channel, at: datetime) -> int:
        """Return the true subscriber count, hidden or not; exact at the epoch."""
        days = (at - self.epoch) / DAY
        return int(channel.subscribers * (1.0 + channel.daily_growth) ** days)

    def thumbnail(self, video: Video, at: datetime) -> ThumbnailVersion | None:
        """Return the version in force at ``at``, or None when the video has no picture."""
        in_force = [version for version in video.thumbnails if version.since <= at]
        return in_force[-1] if in_force else None
