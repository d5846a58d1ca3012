"""Swapped thumbnails as natural experiments: the swaps, their windows, and who is compared.

A swap came between two looks at the picture. The window before ends with the video's last count
before the first of them, the one after begins with its first count after the second: both lie
between real counts, so no view of one picture is booked on the other. Controls are looked at in the
same moments, between their own counts (:func:`services.learning.thumbnails.labels.interpolated`).
"""

import math
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Any, Final

import numpy as np

from db.queries.catalog import swaps as queries
from db.queries.catalog.swaps import Change, Count, KnownVideo, Window
from ml.arrays import FloatArray
from ml.thumbnails.evaluation.swaps import (
    DAYS,
    MIN_CHANNELS,
    MIN_SWAPS,
    NEAR_AGE,
    Swap,
    SwapStudy,
    Trajectory,
    study,
)
from ml.thumbnails.models.registry import picture_rungs
from services.context import Context
from services.learning.thumbnails.known import KnownVideos, log_size
from services.learning.thumbnails.labels import interpolated
from services.youtube.view_counts import crosses_break

_DAY: Final = timedelta(days=1)
SPAN: Final = DAYS * _DAY
SHORTEST, LONGEST = 3 * _DAY, 10 * _DAY
"""How far apart the two counts of a window may be."""
WAIT: Final = 8 * _DAY
"""How long before or after the swap a window may end or begin, and how far apart the counts may be
that a control is read between: a week, and a little for being late."""
NEAR_SIZE: Final = 0.3
"""How far off, in log10 of subscribers, a channel is of like size: by a factor of 2."""
OWN, OTHERS = 30, 40
"""Candidates of the same channel and of others, the nearest."""
MOST_SWAPS: Final = 2_000
"""The newest so many are studied: more take minutes and narrow the interval by little."""
_AT_ONCE: Final = 200


@dataclass(frozen=True)
class SwapsFound:
    """What the swaps say, and what was left out.

    Attributes:
        n_changes: Swaps that were seen.
        left_out: Those that could not be studied, by reason.
        found: The estimates.
    """

    n_changes: int
    left_out: Mapping[str, int]
    found: SwapStudy

    @property
    def sentence(self) -> str:
        """The finding in plain words."""
        found = self.found
        if found.effect is None:
            return (
                f"Not enough data: {found.n_swaps} swapped thumbnails of {found.n_channels}"
                " channels can be compared with other videos;"
                f" {MIN_SWAPS} of {MIN_CHANNELS} channels are needed."
            )
        change, low, high = (percent_of(v) for v in vars(found.effect).values())
        if found.effect.low <= 0 <= found.effect.high:
            return (
                f"No effect of swapping a thumbnail can be shown: {change} [{low}, {high}] views."
            )
        direction = "more" if found.effect.value > 0 else "fewer"
        return (
            f"Videos got {direction} views after their thumbnail was swapped than videos like them:"
            f" {change} [{low}, {high}]."
        )

    def as_json(self) -> dict[str, Any]:
        """Return JSON values; undefined numbers are None."""
        return {
            "sentence": self.sentence,
            "n_changes": self.n_changes,
            "left_out": dict(self.left_out),
            "needed": {"swaps": MIN_SWAPS, "channels": MIN_CHANNELS},
            **self.found.as_json(),
        }


def study_swaps(context: Context, *, seed: int = 0) -> SwapsFound:
    """Hold every swapped video against others that kept their picture in the same days."""
    with context.transaction() as session:
        changes = queries.changes(session, as_of=context.clock(), most=MOST_SWAPS)
        if not changes:
            return SwapsFound(0, {}, study([]))
        known_videos = KnownVideos.of(queries.videos(session))
        among = _Videos(known_videos, queries.pictures_between(session))
        # Whose scores tell the direction of a swap: the first that has both.
        scores = queries.score_changes(session, changes, rungs=picture_rungs())
        left_out: Counter[str] = Counter()
        swaps: list[Swap] = []
        for start in range(0, len(changes), _AT_ONCE):
            some = changes[start : start + _AT_ONCE]
            counted = queries.counts(session, [_around(change) for change in some])
            placed: list[tuple[Change, _Moments, _Counts]] = []
            for change, own in zip(some, counted, strict=True):
                known = among.videos.find(change.video_id)
                counts = None if known is None else _Counts(known, own)
                moments = "noVideo" if counts is None else _moments(change, counts)
                if isinstance(moments, str) or counts is None:
                    left_out[str(moments)] += 1
                else:
                    placed.append((change, moments, counts))
            chosen = [among.like(moments, counts.video) for _, moments, counts in placed]
            windows = [
                Window(video.video_id, moments.first - WAIT, moments.end + WAIT)
                for (_, moments, _), others in zip(placed, chosen, strict=True)
                for video in others
            ]
            found = iter(queries.counts(session, windows))
            for (change, moments, counts), others in zip(placed, chosen, strict=True):
                trajectories = [
                    _course(moments, _Counts(video, next(found)), among) for video in others
                ]
                trajectory = _course(moments, counts, among)
                if isinstance(trajectory, str):
                    left_out[trajectory] += 1
                    continue
                key = (change.video_id, change.old_sha256, change.new_sha256)
                near = [each for each in trajectories if isinstance(each, Trajectory)]
                swaps.append(Swap(trajectory, near, scores.get(key, math.nan)))
    result = study(swaps, seed=seed)
    if result.unmatched:
        left_out["noControl"] += result.unmatched
    return SwapsFound(len(changes), dict(sorted(left_out.items())), result)


@dataclass(frozen=True)
class _Moments:
    """The windows: from ``start`` to ``stop`` before the swap, from ``again`` to ``end`` after."""

    start: datetime
    stop: datetime
    again: datetime
    end: datetime
    shown_from: datetime | None

    @property
    def first(self) -> datetime:
        """When the window before the one before begins."""
        return self.start - (self.stop - self.start)


class _Counts:
    """A video's counts in the order of time, and what they say of the moments between them."""

    def __init__(self, video: KnownVideo, counts: Sequence[Count]) -> None:
        self.video = video
        self.all = [count for count in counts if count.captured_at > video.began_at]
        self.times = [count.captured_at for count in self.all]

    def at(self, moment: datetime, *, within: timedelta) -> float:
        """Return the views at a moment, NaN where no two counts so near each other are around."""
        place = bisect_left(self.times, moment)
        if place < len(self.times) and self.times[place] == moment:
            return float(self.all[place].view_count)
        if not 0 < place < len(self.times):
            return math.nan
        older, newer = self.all[place - 1], self.all[place]
        if newer.captured_at - older.captured_at > within:
            return math.nan
        ages = [self.age(at) for at in (moment, older.captured_at, newer.captured_at)]
        return interpolated(ages[0], (ages[1], older.view_count), (ages[2], newer.view_count))

    def age(self, moment: datetime) -> float:
        """Return how old the video is at a moment, in days."""
        return (moment - self.video.began_at) / _DAY

    def level(self, since: datetime, until: datetime, *, within: timedelta = WAIT) -> float:
        """Return log10(views a day + 1) between two moments, NaN where it was not counted."""
        gained = self.at(until, within=within) - self.at(since, within=within)
        # YouTube takes views back that it finds invalid: a count that falls is no gain.
        return math.log10(max(gained, 0.0) / ((until - since) / _DAY) + 1)

    def redefined(self, since: datetime, until: datetime) -> bool:
        """Tell whether what counts as a view changed between two moments, or may have."""
        inside = self.all[bisect_left(self.times, since) : bisect_right(self.times, until)]
        stored = {count.view_definition for count in inside} - {None}
        return len(stored) > 1 or crosses_break(since, until, self.video.format)


def _around(change: Change) -> Window:
    reach = 2 * LONGEST + WAIT
    return Window(change.video_id, change.old_last_seen_at - reach, change.changed_at + reach)


def _moments(change: Change, counts: _Counts) -> _Moments | str:
    """Choose a swap's windows among its video's own counts, or say why there are none."""
    before = [t for t in counts.times if t <= change.old_last_seen_at]
    if change.shown_from is not None:
        before = [t for t in before if t >= change.shown_from]
    after = [t for t in counts.times if t >= change.changed_at]
    if change.shown_until is not None:
        after = [t for t in after if t <= change.shown_until]
    if not before or change.old_last_seen_at - before[-1] > WAIT:
        return "noCountBefore"
    if not after or after[0] - change.changed_at > WAIT:
        return "noCountAfter"
    starts = [t for t in before if SHORTEST <= before[-1] - t <= LONGEST]
    ends = [t for t in after if SHORTEST <= t - after[0] <= LONGEST]
    if not starts:
        return "noCountBefore"
    if not ends:
        return "noCountAfter"
    start = min(starts, key=lambda t: abs(before[-1] - t - SPAN))
    end = min(ends, key=lambda t: abs(t - after[0] - SPAN))
    if counts.redefined(start, end):
        return "metricBreak"
    return _Moments(start, before[-1], after[0], end, change.shown_from)


def _course(moments: _Moments, counts: _Counts, among: "_Videos") -> Trajectory | str:
    """Read how a video fared in the windows, or say why that cannot be told."""
    if counts.redefined(moments.start, moments.end):
        return "metricBreak"
    half = moments.start + (moments.stop - moments.start) / 2
    earlier = counts.level(moments.first, moments.start)
    if moments.shown_from is not None and moments.first < moments.shown_from:
        earlier = math.nan
    if counts.redefined(moments.first, moments.start):
        earlier = math.nan
    trajectory = Trajectory(
        video=counts.video.video_id,
        channel=counts.video.channel_id,
        log_age=math.log10(counts.age(moments.again)),
        usual=among.usual(counts.video),
        earlier=earlier,
        before=counts.level(moments.start, moments.stop),
        recent=counts.level(half, moments.stop, within=LONGEST),
        after=counts.level(moments.again, moments.end),
        daily=_daily(moments, counts),
    )
    known = (trajectory.usual, trajectory.before, trajectory.recent, trajectory.after)
    return trajectory if np.isfinite(known).all() else "notCounted"


def _daily(moments: _Moments, counts: _Counts) -> FloatArray:
    """Return each whole day's level, NaN outside the windows and where counts are days apart."""
    result: FloatArray = np.full(2 * DAYS, np.nan)
    for day in range(DAYS):
        until, since = moments.stop - day * _DAY, moments.again + day * _DAY
        if until - _DAY >= moments.start:
            result[DAYS - 1 - day] = counts.level(until - _DAY, until, within=1.5 * _DAY)
        if since + _DAY <= moments.end:
            result[DAYS + day] = counts.level(since, since + _DAY, within=1.5 * _DAY)
    return result


class _Videos:
    """All videos, and which of them are like a given one."""

    def __init__(
        self,
        videos: KnownVideos,
        swapped: Mapping[str, Sequence[tuple[datetime, datetime]]],
    ) -> None:
        self.videos = videos
        self._swapped = swapped
        self._began = videos.began_us / 1e6

    def usual(self, video: KnownVideo) -> float:
        """Return what the channel's other videos get over their lives, in the middle."""
        own = video.video_id.encode()
        others = [
            math.log10(max(views, 0.0) + 1)
            for row in self.videos.of_channel(video.channel_id)
            if self.videos.ids[row] != own
            and not math.isnan(views := float(self.videos.views_per_day[row]))
        ]
        return median(others) if others else math.nan

    def like(self, moments: _Moments, video: KnownVideo) -> list[KnownVideo]:
        """Return those of about the same age that kept their picture: the channel's own first."""
        at = moments.again.timestamp()
        ages = np.maximum(at - self._began, 1.0)
        own_age = at - video.began_at.timestamp()
        off = np.abs(np.log10(ages / own_age))
        # Videos that did not exist when the window began have no age to speak of.
        there = (off <= NEAR_AGE) & (self._began < moments.start.timestamp())
        same = np.zeros(len(self.videos), dtype=np.bool_)
        same[self.videos.of_channel(video.channel_id)] = True
        size_off = np.abs(self.videos.size - log_size(video.subscribers))
        chosen: list[KnownVideo] = []
        for mask, distance, most in (
            (there & same, off, OWN),
            (
                there & ~same & (size_off <= NEAR_SIZE),
                off / NEAR_AGE + size_off / NEAR_SIZE,
                OTHERS,
            ),
        ):
            rows = np.flatnonzero(mask)
            nearest = rows[np.argsort(distance[rows], kind="stable")]
            candidates = (self.videos.video(int(row)) for row in nearest)
            kept = (each for each in candidates if not self._is_swapped(each, moments, video))
            chosen += [each for each, _ in zip(kept, range(most), strict=False)]
        return chosen

    def _is_swapped(self, other: KnownVideo, moments: _Moments, video: KnownVideo) -> bool:
        """Tell whether a video is the swapped one, or may have been swapped in the windows."""
        return other.video_id == video.video_id or any(
            until >= moments.first and since <= moments.end
            for since, until in self._swapped.get(other.video_id, ())
        )


def percent_of(log10: float) -> str:
    """Return a change in log10 in percent, with its sign."""
    return f"{100 * (10**log10 - 1):+.0f} %"
