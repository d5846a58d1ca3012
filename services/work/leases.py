"""A claimed batch of work items: begun, done outside any session, each item ended."""

import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy.orm import Session
from structlog.contextvars import bound_contextvars

from db.queries.work import evidence, work_items
from services.cadence import next_slot
from services.context import Context
from services.errors import (
    BlockedError,
    InfrastructureError,
    PermanentError,
    QuotaError,
    TransientError,
    TubeGraderError,
    UsageError,
)
from services.transactions import Written, write_apart
from services.work import breakers, telling
from services.work.heartbeat import KeptLease, LeaseLostError
from services.work.kinds import WORK_KINDS, WorkKind
from services.work.verdicts import LATEST, RETRIES, Hearing, Judge, is_verdict
from services.youtube.batches import UNANSWERABLE
from services.youtube.facts import Answer
from services.youtube.failures import ApiKeyError

log = structlog.get_logger()

REFUSED_PAUSE = timedelta(minutes=10)
"""For work whose host's breaker did not open."""


class Batch:
    """A batch of one kind of work under a lease, as its work sees it.

    Every item ends in one of three ways: it is completed, postponed or failed. What the work says
    nothing of keeps its lease until that runs out, and is claimed again. A failure that is a
    verdict on its item ends it for good once it is believed; until then the item is in doubt.

    Attributes:
        token: The lease. Whoever lost it changes nothing any more.
        items: What is to be done, by entity; empty when the message came late or twice.
        kind: Of what kind all of them are; None for an empty batch.
        begun_at: When its work began.
    """

    def __init__(
        self, context: Context, token: uuid.UUID, items: Collection[work_items.LeasedItem]
    ) -> None:
        self.token = token
        self.items = {item.entity_id: item for item in items}
        self.kind = next((WORK_KINDS[item.kind] for item in items), None)
        self._context = context
        self.begun_at = context.clock()
        self._completed: dict[str, timedelta] = {}
        self._errors: dict[str, TubeGraderError] = {}
        self._unsupported: set[str] = set()
        self._of_requests: set[str] = set()
        self._lasting: set[str] = set()
        self._judge: Judge | None = None
        self._believed: dict[str, str] | None = None
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
            self._errors.pop(entity_id, None)

    def write(
        self, entity_ids: Collection[str], write: Callable[[Session, Sequence[str]], Written]
    ) -> list[Written]:
        """Have items written and completed, in one transaction unless the database refuses some.

        Those fail alone, as ``refusedByDatabase``. Returns what came of each part.
        """
        return write_apart(self._unit, list(entity_ids), write, lambda e, why: self.fail([e], why))

    @contextmanager
    def _unit(self) -> Iterator[Session]:
        """Open a transaction: what it ended has not ended if it is undone."""
        completed, errors = dict(self._completed), dict(self._errors)
        try:
            with self._context.transaction() as session:
                yield session
        except Exception:
            self._completed, self._errors = completed, errors
            raise

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
        self._completed |= {e: at[e] - self.items[e].slot for e in intervals}
        for entity_id in intervals:
            self._errors.pop(entity_id, None)
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
            if entity_id in self.items and entity_id not in self._completed:
                self._errors.setdefault(entity_id, error)

    def fail_again(self, entity_id: str, error: TubeGraderError) -> None:
        """Note that an item was refused, and once more when it was asked for again at once."""
        self._lasting.add(entity_id)
        self.fail([entity_id], error)

    def fail_together(self, entity_ids: Collection[str], error: TubeGraderError) -> None:
        """Note that a call about several items failed: it says nothing of any one of them."""
        self._of_requests |= set(entity_ids) - self._errors.keys()
        self.fail(entity_ids, error)

    def fail_unanswered(self, answer: Answer[Any], *, missing: str | None) -> None:
        """Note what an answer left out: missing (by this reason), refused, not asked."""
        self._lasting |= answer.lasting
        for refusal in answer.refused:
            self.fail([refusal.item_id], PermanentError(refusal.message, reason=refusal.reason))
        if missing is not None:
            self._unsupported |= answer.alone
            self.fail(answer.missing, PermanentError("YouTube no longer shows it", reason=missing))
        if answer.failure is not None:
            self.fail_together(answer.unasked, answer.failure)

    def believed(self, session: Session) -> Mapping[str, str]:
        """Return the items whose verdict is believed, with its reason; the others are in doubt.

        Asked when all failures are noted and what went well is completed: what is written of an
        item beyond its own row (that a video is gone) follows from this and from nothing else.
        """
        if self._believed is None:
            self._believed = {
                entity_id: error.reason
                for entity_id, error in self._errors.items()
                if is_verdict(error) and self._hearing(self._judged(session), entity_id).is_believed
            }
        return self._believed

    def distrust(self) -> None:
        """Believe nothing: what was to follow from it was perhaps not written."""
        self._believed = {}

    def end(self) -> None:
        """Write what failed, after the host's breaker has learned of it."""
        if self.kind is None:
            return
        with self._context.transaction() as session:
            not_before = self._tell_breaker(session, self.kind)
            believed, judge = self.believed(session), self._judged(session)
        telling.ended(self.kind, self._completed, self._errors.values())
        ends: dict[tuple[_End, str, str], list[str]] = defaultdict(list)
        for entity_id, error in self._errors.items():
            is_ended = entity_id in believed
            end = _End(None) if is_ended else self._how(judge, entity_id, not_before)
            ends[end, error.reason, str(error)].append(entity_id)
        for (end, *_), entity_ids in ends.items():
            self._write_failure(entity_ids, self._errors[entity_ids[0]], end)

    def leave_behind(self) -> None:
        """Another worker has what is not completed: how the host does does not follow from it."""
        telling.lost(self.kind)
        self.release(self.items.keys() - self._completed.keys())

    def _extend(self) -> bool:
        with self._context.transaction() as session:
            until = self._context.clock() + self._context.lease
            return work_items.extend_lease(session, self.token, until=until) > 0

    @property
    def _is_answered(self) -> bool:
        """Whether anything went well; what nothing is said of counts as that."""
        return len(self.items) > len(self._errors)

    def _tell_breaker(self, session: Session, kind: WorkKind) -> datetime | None:
        """Note how the host did; return when it is asked again, where it is not for a while."""
        if self._is_answered:
            evidence.note_good_answer(session, kind.name, at=self.begun_at)
        # Who spoils each call says nothing of the host.
        errors = [e for e in self._errors.values() if e.reason != UNANSWERABLE]
        return breakers.record(
            session,
            kind.host,
            n_items=len(self.items) - len(self._errors) + len(errors),
            errors=errors,
            now=self._context.clock(),
        )

    def _judged(self, session: Session) -> Judge:
        """Return what verdicts are judged by, the same until the batch has ended."""
        if self._judge is None:
            assert self.kind is not None, "an empty batch has no verdicts"
            well_at = evidence.last_good_answer(session, self.kind.name)
            self._judge = Judge(self._context.clock(), self._is_answered, well_at)
        return self._judge

    def _hearing(self, judge: Judge, entity_id: str) -> Hearing:
        item = self.items[entity_id]
        return Hearing(
            reason=self._errors[entity_id].reason,
            at=judge.at,
            first_at=item.doubted_at or judge.at,
            attempts=item.attempts,
            is_supported=judge.is_answered and entity_id not in self._unsupported,
            is_borne_out=judge.bears_out(item.doubted_at or judge.at, self._tried_for(judge, item)),
            is_of_request=entity_id in self._of_requests,
            is_lasting=entity_id in self._lasting,
        )

    def _how(self, judge: Judge, entity_id: str, not_before: datetime | None) -> "_End":
        """Return how an item ends that failed and is not ended by a verdict that is believed."""
        item, error = self.items[entity_id], self._errors[entity_id]
        if is_verdict(error):
            hearing = self._hearing(judge, entity_id)
            return _End(hearing.again_at, counted=hearing.counts, in_doubt=True)
        is_ours = isinstance(error, InfrastructureError)
        counted = not is_ours and (
            judge.is_answered
            or item.failed_at is None
            or judge.bears_out(item.failed_at, self._tried_for(judge, item))
        )
        attempts = item.attempts if counted else max(item.attempts - 1, 1)
        at = retry_at(error, attempts=attempts, now=judge.at, not_before=not_before)
        if at is not None and isinstance(error, TransientError) and not (counted or is_ours):
            # Without counting, the pause grows with the time that it goes badly.
            longest = LATEST if self._is_once else RETRIES.longest
            at = max(at, judge.at + min(judge.at - item.slot, longest))
        return _End(at, counted=counted)

    @property
    def _is_once(self) -> bool:
        return self.kind is not None and not self.kind.recurring

    def _tried_for(self, judge: Judge, item: work_items.LeasedItem) -> timedelta:
        """Return for how long an item that is collected once has been tried."""
        return judge.at - item.slot if self._is_once else timedelta(0)

    def _write_failure(
        self, entity_ids: Collection[str], error: TubeGraderError, end: "_End"
    ) -> None:
        log.warning(
            "work.failed",
            items=len(entity_ids),
            reason=error.reason,
            problem=str(error),
            in_doubt=end.in_doubt,
            **telling.in_log(self.kind, entity_ids),
        )
        refuses_us = isinstance(error, ApiKeyError | UsageError)
        with self._context.transaction() as session:
            work_items.fail(
                session,
                self.token,
                entity_ids,
                # A refused key parks the work like any other refusal of us as a whole.
                kind=BlockedError.kind if refuses_us else error.kind,
                reason=error.reason,
                message=f"{error} {error.hint}" if error.hint else str(error),
                retry_at=end.retry_at,
                now=self._context.clock(),
                counted=end.counted,
                in_doubt=end.in_doubt,
            )


@dataclass(frozen=True)
class _End:
    """How an item that failed goes on: when (None: never), and whether the attempt counts."""

    retry_at: datetime | None
    counted: bool = True
    in_doubt: bool = False


@contextmanager
def begin(context: Context, token: uuid.UUID) -> Iterator[Batch]:
    """Begin a batch and run its work; afterwards end badly whatever failed in it.

    An expected error that leaves the block fails every item that has not ended. A lease that is
    lost to another worker ends the block early: what was written stays right.
    """
    with context.transaction() as session:
        held, items = work_items.begin(session, token, until=context.clock() + context.lease)
    batch = Batch(context, held, items)
    telling.begun(batch.kind, len(items))
    channels = (item.channel_id for item in items)
    with bound_contextvars(**telling.in_log(batch.kind, batch.items, channels)):
        try:
            yield batch
        except LeaseLostError:
            log.warning("work.lease_lost", token=str(token))
            batch.leave_behind()
        except TubeGraderError as error:
            batch.distrust()
            batch.fail_together(list(batch.items), error)
        batch.end()


def retry_at(
    error: TubeGraderError, *, attempts: int, now: datetime, not_before: datetime | None = None
) -> datetime | None:
    """Return when to try again after an error; None for never.

    Args:
        error: What went wrong: anything but a verdict that is in doubt.
        attempts: How often the item was begun, as far as that counts.
        now: The present moment.
        not_before: When the breaker of a host that refuses lets a probe through.
    """
    if isinstance(error, QuotaError):
        return error.reset_at
    if isinstance(error, ApiKeyError | BlockedError | UsageError):
        return not_before or now + REFUSED_PAUSE
    if isinstance(error, InfrastructureError):
        return now + RETRIES.after(attempts)
    if isinstance(error, TransientError) and attempts < work_items.MAX_ATTEMPTS:
        return now + RETRIES.after(attempts)
    return None
