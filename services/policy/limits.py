"""How long each kind of data is kept: the settings, held to YouTube's terms and the approvals."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from db.queries.policy import approvals
from db.queries.policy.retention import Limit
from services.settings import Settings

TERMS = timedelta(days=30)
"""YouTube API Services, Developer Policies III.E.4: refreshed or deleted after so long."""
MARGIN = timedelta(days=3)
"""So much earlier, because a purge comes once a day, and two in a row may be missed."""
DUE = TERMS - MARGIN
"""What is older goes, or is read anew, without an approval."""
SCOPES = {
    "video-statistics": "statistics",
    "channel-statistics": "statistics",
    "thumbnails": "thumbnails",
    "audio": "audio",
    "exports": "statistics",
}
KINDS = tuple(SCOPES)
"""The kinds of data with a limit, and the scope of the approval that a longer one needs."""


@dataclass(frozen=True)
class Retention:
    """The limit in force for one kind of data."""

    kind: str
    limit: Limit
    kept: timedelta
    wanted: timedelta
    approvals: tuple[str, ...]
    """References of the approvals that it relies on."""

    @property
    def note(self) -> str | None:
        """Why less is kept than the settings ask for; None where nothing but the margin is."""
        if self.kept >= self.wanted or self.wanted <= TERMS:
            return None
        some = f", except of {len(self.limit.approved_channels)} approved channels"
        return (
            f"{self.wanted.days} days are set, but more than {TERMS.days} need an approval "
            f"of the scope {SCOPES[self.kind]}{some if self.limit.approved_channels else ''}"
        )


def in_force(session: Session, settings: Settings, kind: str, *, now: datetime) -> Retention:
    """Return the limit of a kind of data at this moment."""
    wanted = _wanted(settings, kind)
    if wanted <= TERMS:
        kept = min(wanted, DUE)
        return Retention(kind, Limit(now - kept, now - kept), kept, wanted, ())
    found = approvals.approvals_in_force(session, SCOPES[kind], now=now)
    references = tuple(dict.fromkeys(row.reference for row in found))
    if any(row.channel_id is None for row in found):
        limit = Limit(now - wanted, now - wanted)
        return Retention(kind, limit, wanted, wanted, references)
    channels = tuple(sorted({row.channel_id for row in found if row.channel_id is not None}))
    limit = Limit(now - DUE, now - wanted, channels)
    return Retention(kind, limit, DUE, wanted, references)


def of_facts(session: Session, *, now: datetime) -> Limit | None:
    """Return the limit of titles and other facts; None where an approval lets all of them stay."""
    found = approvals.approvals_in_force(session, "statistics", now=now)
    if any(row.channel_id is None for row in found):
        return None
    channels = tuple(sorted({row.channel_id for row in found if row.channel_id is not None}))
    return Limit(now - DUE, now - DUE, channels)


def _wanted(settings: Settings, kind: str) -> timedelta:
    days = {
        "video-statistics": settings.retention_video_statistics_days,
        "channel-statistics": settings.retention_channel_statistics_days,
        "thumbnails": settings.retention_thumbnails_days,
        "audio": settings.retention_audio_days,
        "exports": settings.retention_exports_days,
    }
    return timedelta(days=days[kind])
