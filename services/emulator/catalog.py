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
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from services.emulator.sound import Sound

CHANNEL_ID = re.compile(r"UC[A-Za-z0-9_-]{22}")
VIDEO_ID = re.compile(r"[A-Za-z0-9_-]{11}")

DAY = timedelta(days=1)
# Uploads up to this length count as Shorts when they are upright; see ``Video.short``.
LONGEST_SHORT = timedelta(minutes=3)

Standing = Literal["open", "closed", "suspended"]
Visibility = Literal["coming", "public", "private", "deleted", "channel ended"]


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
class SteppedViews:
    """Another curve whose rate is multiplied from some age on, as by a better thumbnail.

    Attributes:
        base: The curve without steps.
        steps: (age, factor) in order of age; each factor holds until the next step.
    """

    base: ViewCurve
    steps: tuple[tuple[timedelta, float], ...]

    def total(self, age: timedelta) -> float:
        """Return the views gained in the first ``age``."""
        ends = [until for until, _ in self.steps[1:]]
        total = self.base.total(min(age, self.steps[0][0]))
        for (since, factor), until in zip(self.steps, [*ends, age], strict=True):
            if age > since:
                total += factor * (self.base.total(min(age, until)) - self.base.total(since))
        return total


@dataclass(frozen=True, slots=True)
class ThumbnailVersion:
    """A thumbnail in force from ``since`` on.

    Attributes:
        since: The moment it appears.
        key: What the picture source knows it by.
        reencoded: The picture of the version before it in other bytes: nobody swapped anything.
        appeal: Its planted visual latent, or None when nothing is planted.
    """

    since: datetime
    key: str
    reencoded: bool = False
    appeal: float | None = None


@dataclass(frozen=True, slots=True)
class Stream:
    """A live broadcast's times; None for what never happens.

    Attributes:
        scheduled_start: Announced.
        actual_start: Views and age run from here.
        actual_end: From then on it is an ordinary video.
        premiere: A finished video shown like a broadcast: its duration is known beforehand, and
            afterwards it is listed among the channel's long videos, not among its streams.
    """

    scheduled_start: datetime
    actual_start: datetime | None = None
    actual_end: datetime | None = None
    premiere: bool = False


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel.

    Attributes:
        subscribers: At the catalogue's epoch; the true number, not the rounded one shown.
        hidden_subscribers: The owner does not show the number.
        daily_growth: Growth of subscribers a day, as a fraction.
        standing: Closed and suspended channels answer errors instead of their uploads.
        ends_at: The moment from which ``standing`` holds; the channel is open before. None: always.
        hides_subscribers_at: From then on the owner hides the number.
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
    ends_at: datetime | None = None
    hides_subscribers_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Video:
    """A video.

    Attributes:
        views: Its view curve.
        duration: None when unknown: the API then leaves the field out.
        like_ratio: Likes per view, or None when the owner hides them.
        comment_ratio: Comments per view, or None when comments are off.
        thumbnails: Versions, oldest first; empty for a video whose picture is missing.
        language: What the uploader called the sound's language; right, wrong or None.
        sizes: Which of the sizes beyond ``hqdefault`` exist.
        short: Upright and short: listed among the channel's Shorts.
        deleted_at: From then on the video is gone from every answer.
        private: Spans (from, to) without the public; None for a span that does not end.
        spoken: What is heard, ``en`` or ``zh``; None: what the title is written in.
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
    private: tuple[tuple[datetime, datetime | None], ...] = ()
    appeal: float | None = None
    spoken: str | None = None

    @property
    def begins_at(self) -> datetime | None:
        """When views begin: at publication, for a broadcast at its start (None: never)."""
        return self.published_at if self.stream is None else self.stream.actual_start


@dataclass(frozen=True, slots=True)
class Catalog:
    """All channels and videos, and the pictures behind their thumbnails.

    Attributes:
        epoch: The moment at which recorded or drawn numbers hold exactly (UTC, whole seconds).
        channels: By channel id.
        videos: By video id.
        picture: Gives the 320x180 JPEG of a ``ThumbnailVersion.key``; called once per key.
        facts: What the world was made with, for operators and tests.
        sound: What the videos sound like; None: they are spoken by a machine.
    """

    epoch: datetime
    channels: Mapping[str, Channel]
    videos: Mapping[str, Video]
    picture: Callable[[str], bytes]
    facts: Mapping[str, object] = field(default_factory=dict)
    sound: "Sound | None" = None
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
        sound: "Sound | None" = None,
    ) -> "Catalog":
        """Return a catalogue of these channels and videos."""
        return cls(
            epoch=epoch,
            channels={channel.channel_id: channel for channel in channels},
            videos={video.video_id: video for video in videos},
            picture=picture,
            facts=facts or {},
            sound=sound,
        )

    def visible(self, video: Video, at: datetime) -> bool:
        """Return whether anyone can see ``video`` at ``at``."""
        return self.visibility(video, at) == "public"

    def visibility(self, video: Video, at: datetime) -> Visibility:
        """Return why nobody, or everybody, can see ``video`` at ``at``."""
        if video.published_at > at:
            return "coming"
        if self.standing(self.channels[video.channel_id], at) != "open":
            return "channel ended"
        if video.deleted_at is not None and video.deleted_at <= at:
            return "deleted"
        hidden = any(since <= at and (to is None or at < to) for since, to in video.private)
        return "private" if hidden else "public"

    def standing(self, channel: Channel, at: datetime) -> Standing:
        """Return whether the channel is open at ``at``."""
        return "open" if channel.ends_at is not None and at < channel.ends_at else channel.standing

    def hides_subscribers(self, channel: Channel, at: datetime) -> bool:
        """Return whether the owner hides the subscriber count at ``at``."""
        since = channel.hides_subscribers_at
        return channel.hidden_subscribers or (since is not None and since <= at)

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
        """Return the view count at ``at``; 0 before publication or a broadcast's start."""
        start = video.begins_at
        return 0 if start is None or at < start else int(video.views.total(at - start))

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
