"""A claimed batch of work items: begin it, do it outside any session, end each item."""

import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import structlog

from db.queries.work import work_items
from services.context import Context
from services.errors import (
    BlockedError,
    PermanentError,
    QuotaError,
    TransientError,
    TubeGraderError,
)
from services.work import breakers
from services.youtube.facts import Answer
from services.youtube.failures import ApiKeyError

log = structlog.get_logger()

RETRY_FIRST = timedelta(seconds=15)
RETRY_LONGEST = timedelta(hours=1)
ANSWERS_TO_BELIEVE = 8
DOUBTFUL_REASONS = frozenset(
    {
        "malformedItem",
        "malformedText",
        "malformedCount",
        "malformedFlag",
        "malformedTime",
        "malformedDuration",
        "countTooLarge",
        "unknownLiveState",
        "notAnImage",
        "brokenImage",
        "imageTooLarge",
        "imageTooSmall",
    }
)
"""What a proxy or a bad day of YouTube's can say of a sound item: one answer must not end its
series. It is believed once so many attempts have failed, half an hour after the first; with four,
a month of 10,000 videos under 20 % faults gave up nine sound thumbnails."""
REFUSED_PAUSE = timedelta(minutes=10)
"""For work on hosts without a breaker."""


def begin(context: Context, token: uuid.UUID) -> list[work_items.LeasedItem]:
    """Begin a batch: return the items of a lease; none when its message came late or twice."""
    with context.transaction() as session:
        return work_items.begin(session, token, until=context.clock() + context.lease)


class Failures:
    """The items of a batch that did not go well, each with its reason."""

    def __init__(self, items: Collection[work_items.LeasedItem]) -> None:
        self._items = {item.entity_id: item for item in items}
        self._errors: dict[str, TubeGraderError] = {}

    def add(self, entity_ids: Collection[str], error: TubeGraderError) -> None:
        """Note that items failed; the first reason of an item stays."""
        for entity_id in entity_ids:
            if entity_id in self._items:
                self._errors.setdefault(entity_id, error)

    def add_answer(self, answer: Answer[Any], *, missing: str | None) -> None:
        """Note what an answer left out: missing (by this reason), refused, not asked."""
        for refusal in answer.refused:
            self.add([refusal.item_id], PermanentError(refusal.message, reason=refusal.reason))
        if missing is not None:
            self.add(answer.missing, PermanentError("YouTube no longer shows it", reason=missing))
        if answer.failure is not None:
            self.add(answer.unasked, answer.failure)

    def add_rest(self, error: TubeGraderError) -> None:
        """Note one error for every item that has none yet."""
        self.add(self._items, error)

    @property
    def errors(self) -> Collection[TubeGraderError]:
        """One error for each item that failed."""
        return self._errors.values()

    def groups(self) -> Iterator[tuple[TubeGraderError, list[work_items.LeasedItem]]]:
        """Yield each error with its items."""
        by_error: dict[int, tuple[TubeGraderError, list[work_items.LeasedItem]]] = {}
        for entity_id, error in self._errors.items():
            by_error.setdefault(id(error), (error, []))[1].append(self._items[entity_id])
        yield from by_error.values()


@contextmanager
def failing(
    context: Context, token: uuid.UUID, items: Collection[work_items.LeasedItem]
) -> Iterator[Failures]:
    """Run the work on a batch; afterwards end badly whatever failed in it.

    An expected error that leaves the block fails every item that was not completed before.
    """
    failures = Failures(items)
    try:
        yield failures
    except TubeGraderError as error:
        failures.add_rest(error)
    asked_again = _tell_breaker(context, items, failures)
    for reason, failed in failures.groups():
        _fail(context, token, failed, reason, not_before=asked_again)


def _tell_breaker(
    context: Context, items: Collection[work_items.LeasedItem], failures: Failures
) -> datetime | None:
    """Note how the host did; return when it is asked again, where it is not for a while."""
    kind = next((item.kind for item in items), None)
    if kind is None:
        return None
    with context.transaction() as session:
        return breakers.record(
            session, kind, n_items=len(items), errors=failures.errors, now=context.clock()
        )


def _fail(
    context: Context,
    token: uuid.UUID,
    items: Collection[work_items.LeasedItem],
    error: TubeGraderError,
    *,
    not_before: datetime | None,
) -> None:
    now = context.clock()
    log.warning("work.failed", items=len(items), reason=error.reason, problem=str(error))
    with context.transaction() as session:
        for attempts in {item.attempts for item in items}:
            work_items.fail(
                session,
                token,
                [item.entity_id for item in items if item.attempts == attempts],
                # A refused key parks the work like any other refusal of us as a whole.
                kind=BlockedError.kind if isinstance(error, ApiKeyError) else error.kind,
                reason=error.reason,
                message=f"{error} {error.hint}" if error.hint else str(error),
                retry_at=retry_at(error, attempts=attempts, now=now, not_before=not_before),
                now=now,
            )


def retry_at(
    error: TubeGraderError, *, attempts: int, now: datetime, not_before: datetime | None = None
) -> datetime | None:
    """Return when to try again after an error; None for never.

    Args:
        error: What went wrong.
        attempts: How often the item was begun.
        now: The present moment.
        not_before: When the breaker of a host that refuses lets a probe through.
    """
    if isinstance(error, QuotaError):
        return error.reset_at
    if isinstance(error, ApiKeyError | BlockedError):
        return not_before or now + REFUSED_PAUSE
    doubtful = error.reason in DOUBTFUL_REASONS and attempts < ANSWERS_TO_BELIEVE
    if doubtful or (isinstance(error, TransientError) and attempts < work_items.MAX_ATTEMPTS):
        return now + min(RETRY_FIRST * (1 << (attempts - 1)), RETRY_LONGEST)
    return None
