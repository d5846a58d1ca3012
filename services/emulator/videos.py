"""Channels and videos of an invented or recorded world: their numbers are functions of time."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, Protocol

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
