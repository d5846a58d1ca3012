"""Why due work is not claimed at the moment: a pause, an open breaker, a used-up quota.

Claiming work that cannot be done would park it item by item, ten million times; so the
dispatcher looks here first and leaves it where it is.
"""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from db.queries.work import breakers as breaker_rows
from db.queries.work import quota as quota_rows
from services.context import Context
from services.work.kinds import VIDEO_SNAPSHOT, WORK_KINDS
from services.work.pauses import paused_queues
from services.youtube.quota import (
    BATCH_STATS,
    SHARED,
    daily_limits,
    kept_units,
    key_fingerprint,
    pacific_day,
    quota_error,
    reset_at,
    share_error,
    shares,
)


@dataclass(frozen=True)
class Blocker:
    """One thing that holds work back.

    Attributes:
        what: A queue or ``everything``, a host, or a quota bucket.
        kind: ``paused``, ``breaker`` or ``quota``.
        until: When that is over at the earliest, in UTC; None until somebody resumes it.
        reason: A stable word.
        message: A line for people.
    """

    what: str
    kind: str
    until: datetime | None
    reason: str
    message: str

    def as_json(self) -> dict[str, Any]:
        """Return plain values for ``--json``."""
        return {**asdict(self), "until": self.until.isoformat() if self.until else None}


def blocked_work(context: Context, session: Session, *, now: datetime) -> dict[str, Blocker]:
    """Return, by kind of work that nothing may be claimed of, what holds it back."""
    paused = paused_queues(session)
    breakers = {blocker.what: blocker for blocker in _breakers(session, now=now)}
    used_up = {blocker.what: blocker for blocker in _used_up(context, session, now=now)}
    shares_used = {} if SHARED in used_up else _shares_used(context, session, now=now)
    found: dict[str, Blocker] = {}
    for name, kind in WORK_KINDS.items():
        queue = kind.queue.name
        if queue in paused:
            found[name] = Blocker(queue, "paused", None, "paused", paused[queue])
        elif kind.host in breakers:
            found[name] = breakers[kind.host]
        elif kind.buckets and kind.buckets <= used_up.keys():
            found[name] = used_up[min(kind.buckets)]
        elif name in shares_used and kind.buckets <= {*used_up, SHARED}:
            found[name] = shares_used[name]
    return found


def blocker_of_unread(context: Context, session: Session, *, now: datetime) -> Blocker | None:
    """Return what keeps videos from being read in full while their counts can be; None if nothing.

    The counts have a bucket of their own, which lasts when the shared one is used up.
    """
    used_up = {blocker.what: blocker for blocker in _used_up(context, session, now=now)}
    if BATCH_STATS in used_up:
        return None
    return used_up.get(SHARED) or _shares_used(context, session, now=now).get(VIDEO_SNAPSHOT.name)


def blockers(context: Context) -> list[Blocker]:
    """Return everything that is held back now, for front doors."""
    now = context.clock()
    with context.transaction() as session:
        paused = paused_queues(session)
        return [
            *(Blocker(queue, "paused", None, "paused", text) for queue, text in paused.items()),
            *_breakers(session, now=now),
            *_used_up(context, session, now=now),
        ]


def _breakers(session: Session, *, now: datetime) -> list[Blocker]:
    """Return the breakers whose pause is not over, or whose probe is under way."""
    return [
        Blocker(
            b.host, "breaker", b.retry_at, b.reason or "unknown", b.message or f"{b.host} fails"
        )
        for b in breaker_rows.not_closed(session)
        if b.retry_at is not None and b.retry_at > now
    ]


def _used_up(context: Context, session: Session, *, now: datetime) -> list[Blocker]:
    key = context.settings.youtube_api_key
    if key is None:
        return []
    spent = quota_rows.spent(
        session,
        key_fingerprint=key_fingerprint(key.get_secret_value()),
        pacific_day=pacific_day(now),
    )
    limits = daily_limits(context.settings.youtube_daily_units)
    reset = reset_at(now)
    return [
        Blocker(bucket, "quota", reset, "quotaExceeded", str(quota_error(bucket, reset)))
        for bucket, limit in limits.items()
        if bucket in spent and (spent[bucket].exhausted or spent[bucket].units >= limit)
    ]


def _shares_used(context: Context, session: Session, *, now: datetime) -> dict[str, Blocker]:
    """Return the blocker of each kind of work that finds nothing but what is kept for others."""
    key = context.settings.youtube_api_key
    limit = context.settings.youtube_daily_units
    own = shares(context.settings)
    kept = kept_units(own, SHARED, limit, now=now)
    if key is None or not kept:
        return {}
    day = pacific_day(now)
    fingerprint = key_fingerprint(key.get_secret_value())
    rows = quota_rows.booked_between(session, key_fingerprint=fingerprint, first=day, last=day)
    booked = {row.purpose: row.units for row in rows if row.bucket == SHARED}
    end = own.end_at(now)
    found = {}
    for kind in WORK_KINDS.values():
        if kind.purpose is None:
            continue
        held_back = quota_rows.held_back(booked, kept, purpose=kind.purpose)
        if sum(booked.values()) + held_back >= limit:
            error = share_error(SHARED, kind.purpose, end)
            found[kind.name] = Blocker(SHARED, "quota", end, error.reason, str(error))
    return found
