"""A claimed batch of work items: begun, done outside any session, each item ended."""

import uuid
from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy.orm import Session

from db.queries.work import work_items
from services.cadence import next_slot
from services.context import Context
from services.errors import (
    BlockedError,
    InfrastructureError,
    PermanentError,
    QuotaError,
    TransientError,
    TubeGraderError,
)
from services.work import breakers
from services.work.backoff import Backoff
from services.work.heartbeat import KeptLease, LeaseLostError
from services.work.kinds import WORK_KINDS
from services.youtube.facts import Answer
from services.youtube.failures import ApiKeyError

log = structlog.get_logger()

RETRIES = Backoff(timedelta(seconds=15), timedelta(hours=1))
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
"""For work whose host's breaker did not open."""


class Batch:
    """A batch of one kind of work under a lease, as its work sees it.

    Every item ends in one of three ways: it is completed, postponed or failed. What the work says
    nothing of keeps its lease until that runs out, and is claimed again.

    Attributes:
        token: The lease. Whoever lost it changes nothing any more.
        items: What is to be done, by entity; empty when the message came late or twice.
        kind: Of what kind all of them are; None for an empty batch.
    """

    def __init__(
        self, context: Context, token: uuid.UUID, items: Collection[work_items.LeasedItem]
    ) -> None:
        self.token = token
        self.items = {item.entity_id: item for item in items}
        self.kind = next((WORK_KINDS[item.kind] for item in items), None)
        self._context = context
        self._errors: dict[str, TubeGraderError] = {}
        every_s = context.lease.total_seconds() / 4
        self._lease = KeptLease(self._extend, every_s=every_s)

    def heartbeat(self) -> None:
        """Extend the lease by its whole length.

        Raises:
            LeaseLostError: Another worker has the items now; whoever runs the batch handles that.
        """
        if not self._extend():
            raise LeaseLostError

    def kept_alive(self) -> AbstractContextManager[None]:
        """Extend the lease from a thread while the block runs: for items that take minutes."""
        return self._lease.kept()

    def check(self) -> None:
        """Go on only while the thread of ``kept_alive`` holds the lease.

        Raises:
            LeaseLostError: See ``heartbeat``.
        """
        self._lease.check()

    def held(self, session: Session) -> set[str]:
        """Return the entities that the lease still holds, locked until the commit.

        For effects that no constraint keeps from happening twice.
        """
        return work_items.lock_held(session, self.token)

    def release(self, entity_ids: Collection[str]) -> None:
        """Leave items out that the host is not asked for: how it does says nothing of them."""
        for entity_id in entity_ids:
            self.items.pop(entity_id, None)

    def complete(
        self,
        session: Session,
        intervals: Mapping[str, timedelta | None],
        *,
        now: datetime,
        answered_at: Mapping[str, datetime] | None = None,
    ) -> int:
        """End items well, in the transaction that writes what came of them.

        Args:
            session: The unit of work.
            intervals: By entity, how long after its slot each falls due again; None: not again.
            now: The present moment.
            answered_at: When each was answered for, by entity; ``now`` where it does not say.

        Returns:
            How many the lease still held.
        """
        at = dict.fromkeys(intervals, now) | dict(answered_at or {})
        steps = {entity: every for entity, every in intervals.items() if every is not None}
        next_slots: dict[str, datetime | None] = dict.fromkeys(intervals)
        next_slots |= {e: next_slot(self.items[e].slot, steps[e], now=at[e]) for e in steps}
        of_series = {} if self.kind is None or self.kind.series is None else steps
        return work_items.complete(
            session, self.token, next_slots, now=now, intervals=of_series, captured_at=at
        )

    def postpone(
        self, entity_ids: Collection[str], error: TubeGraderError, *, until: datetime
    ) -> None:
        """Have items wait for something that is no fault of theirs or of the host's."""
        with self._context.transaction() as session:
            work_items.fail(
                session,
                self.token,
                entity_ids,
                kind=BlockedError.kind,
                reason=error.reason,
                message=f"{error}; {error.hint}" if error.hint else str(error),
                retry_at=until,
                now=self._context.clock(),
            )

    def fail(self, entity_ids: Collection[str], error: TubeGraderError) -> None:
        """Note that items failed; the first reason of an item stays. Written when the batch ends.

        Until then all of them together tell how the host does.
        """
        for entity_id in entity_ids:
            if entity_id in self.items:
                self._errors.setdefault(entity_id, error)

    def fail_unanswered(self, answer: Answer[Any], *, missing: str | None) -> None:
        """Note what an answer left out: missing (by this reason), refused, not asked."""
        for refusal in answer.refused:
            self.fail([refusal.item_id], PermanentError(refusal.message, reason=refusal.reason))
        if missing is not None:
            self.fail(answer.missing, PermanentError("YouTube no longer shows it", reason=missing))
        if answer.failure is not None:
            self.fail(answer.unasked, answer.failure)

    def end(self) -> None:
        """Write what failed, after the host's breaker has learned of it."""
        asked_again = self._tell_breaker()
        by_error: dict[int, tuple[TubeGraderError, list[str]]] = {}
        for entity_id, error in self._errors.items():
            by_error.setdefault(id(error), (error, []))[1].append(entity_id)
        for error, entity_ids in by_error.values():
            self._write_failure(entity_ids, error, not_before=asked_again)

    def _extend(self) -> bool:
        with self._context.transaction() as session:
            until = self._context.clock() + self._context.lease
            return work_items.extend_lease(session, self.token, until=until) > 0

    def _tell_breaker(self) -> datetime | None:
        """Note how the host did; return when it is asked again, where it is not for a while."""
        if self.kind is None:
            return None
        with self._context.transaction() as session:
            return breakers.record(
                session,
                self.kind.host,
                n_items=len(self.items),
                errors=self._errors.values(),
                now=self._context.clock(),
            )

    def _write_failure(
        self, entity_ids: Collection[str], error: TubeGraderError, *, not_before: datetime | None
    ) -> None:
        now = self._context.clock()
        log.warning("work.failed", items=len(entity_ids), reason=error.reason, problem=str(error))
        with self._context.transaction() as session:
            for attempts in {self.items[entity_id].attempts for entity_id in entity_ids}:
                work_items.fail(
                    session,
                    self.token,
                    [e for e in entity_ids if self.items[e].attempts == attempts],
                    # A refused key parks the work like any other refusal of us as a whole.
                    kind=BlockedError.kind if isinstance(error, ApiKeyError) else error.kind,
                    reason=error.reason,
                    message=f"{error} {error.hint}" if error.hint else str(error),
                    retry_at=retry_at(error, attempts=attempts, now=now, not_before=not_before),
                    now=now,
                    counted=not isinstance(error, InfrastructureError),
                )


@contextmanager
def begin(context: Context, token: uuid.UUID) -> Iterator[Batch]:
    """Begin a batch and run its work; afterwards end badly whatever failed in it.

    An expected error that leaves the block fails every item that has not ended. A lease that is
    lost to another worker ends the block early: what was written stays right.
    """
    with context.transaction() as session:
        held, items = work_items.begin(session, token, until=context.clock() + context.lease)
    batch = Batch(context, held, items)
    try:
        yield batch
    except LeaseLostError:
        log.warning("work.lease_lost", token=str(token))
    except TubeGraderError as error:
        batch.fail(list(batch.items), error)
    batch.end()


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
    if isinstance(error, InfrastructureError):
        return now + RETRIES.after(attempts)
    doubtful = error.reason in DOUBTFUL_REASONS and attempts < ANSWERS_TO_BELIEVE
    if doubtful or (isinstance(error, TransientError) and attempts < work_items.MAX_ATTEMPTS):
        return now + RETRIES.after(attempts)
    return None
