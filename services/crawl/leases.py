"""A claimed batch of work items: begin it, do it outside any session, end each item."""

import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import structlog

from db.queries import work
from db.session import unit_of_work
from services.context import Context
from services.errors import (
    BlockedError,
    PermanentError,
    QuotaError,
    TransientError,
    TubeGraderError,
)
from services.youtube.facts import Answer
from services.youtube.failures import ApiKeyError

log = structlog.get_logger()

RETRY_FIRST = timedelta(seconds=15)
RETRY_LONGEST = timedelta(hours=1)
BLOCKED_PAUSE = timedelta(hours=1)
KEY_PAUSE = timedelta(minutes=10)
"""A refused key is nobody's fault but the operator's; the items wait until it is mended."""


def begin(context: Context, token: uuid.UUID) -> list[work.LeasedItem]:
    """Begin a batch: return the items of a lease; none when its message came late or twice."""
    with unit_of_work(context.sessions) as session:
        return work.begin(session, token, until=context.clock() + context.lease)


class Failures:
    """The items of a batch that did not go well, each with its reason."""

    def __init__(self, items: Collection[work.LeasedItem]) -> None:
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

    def groups(self) -> Iterator[tuple[TubeGraderError, list[work.LeasedItem]]]:
        """Yield each error with its items."""
        by_error: dict[int, tuple[TubeGraderError, list[work.LeasedItem]]] = {}
        for entity_id, error in self._errors.items():
            by_error.setdefault(id(error), (error, []))[1].append(self._items[entity_id])
        yield from by_error.values()


@contextmanager
def failing(
    context: Context, token: uuid.UUID, items: Collection[work.LeasedItem]
) -> Iterator[Failures]:
    """Run the work on a batch; afterwards end badly whatever failed in it.

    An expected error that leaves the block fails every item that was not completed before.
    """
    failures = Failures(items)
    try:
        yield failures
    except TubeGraderError as error:
        failures.add_rest(error)
    for reason, failed in failures.groups():
        _fail(context, token, failed, reason)


def _fail(
    context: Context,
    token: uuid.UUID,
    items: Collection[work.LeasedItem],
    error: TubeGraderError,
) -> None:
    now = context.clock()
    log.warning("work.failed", items=len(items), reason=error.reason, problem=str(error))
    with unit_of_work(context.sessions) as session:
        for attempts in {item.attempts for item in items}:
            work.fail(
                session,
                token,
                [item.entity_id for item in items if item.attempts == attempts],
                # A refused key parks the work like any other refusal of us as a whole.
                kind=BlockedError.kind if isinstance(error, ApiKeyError) else error.kind,
                reason=error.reason,
                message=f"{error} {error.hint}" if error.hint else str(error),
                retry_at=retry_at(error, attempts=attempts, now=now),
                now=now,
            )


def retry_at(error: TubeGraderError, *, attempts: int, now: datetime) -> datetime | None:
    """Return when to try again after an error; None for never."""
    if isinstance(error, QuotaError):
        return error.reset_at
    if isinstance(error, ApiKeyError):
        return now + KEY_PAUSE
    if isinstance(error, BlockedError):
        return now + BLOCKED_PAUSE
    if isinstance(error, TransientError) and attempts < work.MAX_ATTEMPTS:
        return now + min(RETRY_FIRST * (1 << (attempts - 1)), RETRY_LONGEST)
    return None
