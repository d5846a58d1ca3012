"""Shorts, long videos, live streams and premieres, told apart by what the Data API says of a video.

The API has no field for it. What it has decides, in this order:

1. A broadcast (``liveStreamingDetails`` are there, or it is announced or on air). A premiere is a
   finished video shown like a broadcast: its duration is known before it ends, and it begins to
   the second when it was scheduled for. All other broadcasts are live streams.
2. At most 60 seconds long, or at most three minutes and published since 15 October 2024, when
   YouTube raised the limit: a Short. A landscape video of that length is taken for one as well:
   only the playlist of a channel's Shorts (UUSH…), undocumented and not there for all channels,
   could tell, for another unit per fifty videos.
3. Everything else is a long video; without a duration nothing is said.

Nor is anything said of what may be on air or over, in a word that is new to us.
"""

from datetime import UTC, datetime, timedelta

from services.youtube.facts import VideoFacts

SHORT_S = 60
SHORT_SINCE_2024_S = 180
LONGER_SHORTS_SINCE = datetime(2024, 10, 15, tzinfo=UTC)
PUNCTUAL = timedelta(seconds=3)
"""Nobody who presses a button is so exact."""


def video_format(facts: VideoFacts) -> str | None:
    """Return ``short``, ``long``, ``live`` or ``premiere``; None where nothing tells."""
    if facts.is_live_state_unknown:
        return None
    on_air = facts.live_broadcast_content in ("upcoming", "live")
    if on_air or facts.actual_start_at is not None:
        return "premiere" if _is_premiere(facts, on_air=on_air) else "live"
    if facts.duration_s is None:
        return None
    newer = facts.published_at is not None and facts.published_at >= LONGER_SHORTS_SINCE
    return "short" if facts.duration_s <= (SHORT_SINCE_2024_S if newer else SHORT_S) else "long"


def _is_premiere(facts: VideoFacts, *, on_air: bool) -> bool:
    if on_air:
        return bool(facts.duration_s)
    if facts.actual_start_at is None or facts.scheduled_start_at is None:
        return False
    return timedelta(0) <= facts.actual_start_at - facts.scheduled_start_at <= PUNCTUAL
