"""A breaker for each host that is asked: when it refuses or fails, nobody asks it for a while.

Closed: all is well. Open: nothing is claimed for the host until the pause is over. Half-open: one
batch probes; if it goes well the breaker closes, else it opens again for twice as long. The state
is a row, so all workers and dispatchers share it.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

import structlog
from sqlalchemy.orm import Session

from db.models import Breaker
from db.queries.work import breakers as rows
from services.context import Context
from services.errors import (
    BlockedError,
    InfrastructureError,
    TransientError,
    TubeGraderError,
    UsageError,
)
from services.work.backoff import Backoff
from services.work.kinds import HOSTS, SOUND
from services.work.verdicts import is_verdict
from services.youtube.failures import ApiKeyError

log = structlog.get_logger()

FAILURES_IN_A_ROW = 8
"""Batches in which nothing went well that open a breaker. Where one call in five fails by chance,
eight in a row come once in 400,000."""


REFUSED = Backoff(timedelta(minutes=1), timedelta(hours=6))
"""A burst of 429 is over within the minute; a lasting refusal soon costs four probes a day."""
FAILING = Backoff(timedelta(seconds=30), timedelta(minutes=15))
"""A host that is down comes back without a word, so it is tried again more often."""
BAD_KEY = Backoff(timedelta(minutes=10), timedelta(minutes=10))
"""Only the operator can mend it; the pause bounds how long work waits after that."""
REFUSED_MEDIA = Backoff(timedelta(hours=1), timedelta(hours=24))
"""Refusals of downloads last for hours, and asking on makes them longer."""


class Admission(Enum):
    """What may be claimed for a host."""

    ALL = "all"
    PROBE = "probe"
    NOTHING = "nothing"


@dataclass(frozen=True)
class BreakerView:
    """A breaker as a front door shows it; all times are in UTC."""

    host: str
    state: str
    failures: int
    trips: int
    opened_at: datetime | None
    retry_at: datetime | None
    reason: str | None
    message: str | None

    def as_json(self) -> dict[str, Any]:
        """Return plain values for ``--json``."""
        return {k: v.isoformat() if isinstance(v, datetime) else v for k, v in asdict(self).items()}


def listed(context: Context) -> list[BreakerView]:
    """Return the breaker of every host; one that never was in trouble is closed."""
    with context.transaction() as session:
        found = {b.host: _view(b) for b in rows.known(session)}
    closed = (BreakerView(host, "closed", 0, 0, None, None, None, None) for host in HOSTS)
    return list(({view.host: view for view in closed} | found).values())


def reset(context: Context, host: str) -> bool:
    """Close a host's breaker by hand; False where it was closed.

    Raises:
        UsageError: There is no such host.
    """
    if host not in HOSTS:
        raise UsageError(f"there is no host “{host}”", hint=f"use {', '.join(HOSTS)}")
    with context.transaction() as session:
        breaker = rows.lock(session, host, now=context.clock())
        was_closed = breaker.state == "closed"
        breaker.state, breaker.failures, breaker.trips = "closed", 0, 0
        breaker.opened_at = breaker.retry_at = breaker.reason = breaker.message = None
        breaker.changed_at = context.clock()
    return not was_closed


def admission(session: Session, host: str, *, now: datetime) -> Admission:
    """Return what may be claimed of work that asks a host.

    For a probe the breaker stays locked until the unit of work ends: only one is sent.
    """
    if host not in {breaker.host for breaker in rows.not_closed(session)}:
        return Admission.ALL
    probe = rows.lock_for_probe(session, host, now=now)
    return Admission.NOTHING if probe is None else Admission.PROBE


def begin_probe(session: Session, host: str, *, until: datetime, now: datetime) -> None:
    """Note that a probe was claimed; without an answer ``until`` then, another may go."""
    breaker = rows.lock(session, host, now=now)
    breaker.state, breaker.retry_at, breaker.changed_at = "half-open", until, now


def record(
    session: Session, host: str, *, n_items: int, errors: Collection[TubeGraderError], now: datetime
) -> datetime | None:
    """Note how a batch of work went.

    Args:
        session: The unit of work.
        host: Whom the batch asked.
        n_items: How many items the batch had.
        errors: One error for each item that failed; the others went well. Where none did, even
            verdicts on the items speak against the host: it may say the same of everything.
        now: The present moment.

    Returns:
        When the host is asked again, where this batch opened its breaker or met it open.
    """
    if n_items == 0:
        return None
    refuses_us = BlockedError | ApiKeyError | UsageError
    refusal = next((error for error in errors if isinstance(error, refuses_us)), None)
    if refusal is not None:
        return _trip(session, host, refusal, now=now)
    if n_items > len(errors):
        rows.note_success(session, host, now=now)
        return None
    bad = [error for error in errors if _is_bad_answer(error)]
    if len(bad) < n_items:
        return None  # our own database or ledger failed: the host was perhaps not asked
    return _count_failure(session, host, bad, now=now)


def _is_bad_answer(error: TubeGraderError) -> bool:
    """Tell whether an error speaks against the host, should it be all that a batch got."""
    if isinstance(error, InfrastructureError):
        return False
    return isinstance(error, TransientError) or is_verdict(error)


def allow_probes(session: Session, *, now: datetime) -> None:
    """Somebody asks for work by hand, perhaps after mending something: probe at once."""
    rows.allow_probes(session, now=now)


def _count_failure(
    session: Session, host: str, errors: Sequence[TubeGraderError], *, now: datetime
) -> datetime | None:
    [(reason, n)] = Counter(error.reason for error in errors).most_common(1)
    error = next(error for error in errors if error.reason == reason)
    if is_verdict(error):
        of = "everything" if n == len(errors) else f"{n} of {len(errors)} items"
        error = TransientError(f"{of} that was asked for got the answer: {error}", reason=reason)
    breaker = rows.lock(session, host, now=now)
    breaker.failures += 1
    breaker.changed_at = now
    if breaker.state == "closed" and breaker.failures < FAILURES_IN_A_ROW:
        return None
    return _trip(session, host, error, now=now)


def _trip(session: Session, host: str, error: TubeGraderError, *, now: datetime) -> datetime:
    breaker = rows.lock(session, host, now=now)
    if breaker.state == "open" and breaker.retry_at is not None and breaker.retry_at > now:
        return breaker.retry_at  # a batch from before it opened; its refusal is no second one
    pause = _pause(host, error)
    breaker.trips += 1
    length = pause.after(breaker.trips)
    breaker.state = "open"
    breaker.opened_at = breaker.opened_at or now
    breaker.retry_at = now + length
    breaker.reason, breaker.message = error.reason, str(error)[:500]
    breaker.changed_at = now
    log.warning(
        "breaker.opened",
        host=host,
        reason=error.reason,
        trips=breaker.trips,
        until=str(now + length),
    )
    return breaker.retry_at


def _pause(host: str, error: TubeGraderError) -> Backoff:
    if isinstance(error, ApiKeyError):
        return BAD_KEY
    if isinstance(error, BlockedError | UsageError):
        return REFUSED_MEDIA if host == SOUND else REFUSED
    return FAILING


def _view(breaker: Breaker) -> BreakerView:
    return BreakerView(
        host=breaker.host,
        state=breaker.state,
        failures=breaker.failures,
        trips=breaker.trips,
        opened_at=breaker.opened_at,
        retry_at=breaker.retry_at,
        reason=breaker.reason,
        message=breaker.message,
    )
