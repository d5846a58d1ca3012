"""Which moments of publication are taken, by crawls and imports alike."""

from datetime import UTC, datetime, timedelta

from services.youtube.facts import Oddity

FIRST_VIDEO = datetime(2005, 1, 1, tzinfo=UTC)
"""YouTube's is of April 2005."""
IMPLAUSIBLE = "implausibleTime"
"""What is noted of any other."""
AHEAD = timedelta(days=1)
"""For clocks that disagree."""


def is_plausible(moment: datetime, *, now: datetime) -> bool:
    """Tell whether something can have been published then: not before YouTube, nor tomorrow."""
    return FIRST_VIDEO <= moment <= now + AHEAD


def odd_publication(moment: datetime | None, *, now: datetime) -> Oddity | None:
    """Return what is odd about a moment of publication; None where nothing is."""
    if moment is None or is_plausible(moment, now=now):
        return None
    return Oddity(IMPLAUSIBLE, "publishedAt", moment.isoformat())
