"""When something is collected next: the younger a video, the more its counts move."""

from datetime import UTC, datetime, timedelta

CHANNEL_INTERVAL = timedelta(days=1)
THUMBNAIL_INTERVAL = timedelta(days=7)
VIDEO_INTERVALS = (
    (timedelta(days=2), timedelta(hours=6)),
    (timedelta(days=14), timedelta(days=1)),
    (timedelta(days=90), timedelta(days=7)),
)
"""(up to this age, so often). Most of a video's views come in its first days."""
OLD_VIDEO_INTERVAL = timedelta(days=30)
GRID = timedelta(hours=1)
"""Slots lie on full hours: videos found minutes apart then share a call, fifty for one unit."""
_ANY_FULL_HOUR = datetime(2000, 1, 1, tzinfo=UTC)


def video_interval(age: timedelta) -> timedelta:
    """Return how often the counts of a video of this age are read."""
    for limit, interval in VIDEO_INTERVALS:
        if age < limit:
            return interval
    return OLD_VIDEO_INTERVAL


def next_slot(slot: datetime, interval: timedelta, *, now: datetime) -> datetime:
    """Return the slot after ``slot``: an interval later, on a full hour, and in the future.

    Missed slots are skipped. ``interval`` is in whole hours.
    """
    missed = max((now - slot) // interval, 0)
    found = slot + interval * (missed + 1)
    return found + (_ANY_FULL_HOUR - found) % GRID
