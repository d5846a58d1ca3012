"""A shard of a scoring under a lease: begun, done outside any session, ended; tried by itself.

The same as a batch of work items, but that its rows are one row here: what was done of them is
known by what was written, so whoever goes on with a shard does what is left.
"""

import uuid
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from functools import partial

import structlog
from sqlalchemy.orm import Session

from db.queries.work import scorings, shard_claims
from db.queries.work import shards as rows
from db.queries.work.claims import try_lock, wait_briefly
from services.context import Context
from services.errors import (
    HostError,
    InfrastructureError,
    OtherHereError,
    PermanentError,
    QuotaError,
    TransientError,
    TubeGraderError,
)
from services.metrics.instruments import SCORED, SHARDS
from services.queue import SCORING
from services.transactions import translating
from services.work import fitness, fleet
from services.work.backoff import Backoff
from services.work.heartbeat import KeptLease, LeaseLostError
from services.work.jobs import JobCancelledError, in_a_line, patiently

log = structlog.get_logger()

A_WORKER = 2
"""Shards under lease for each worker: the one it does, and the next one, which waits for it."""
RETRIES = Backoff(timedelta(seconds=2), timedelta(minutes=10))
BEAT_S = 5.0
"""How often a shard that is done says so, and hears whether anybody wants it still."""
MOST_FAILURES = 8
"""After so many in a row without any progress a shard has failed for good."""


class ShardHandle:
    """A running shard, as its work sees it.

    Attributes:
        shard: What is to be scored with what.
        token: The lease. Whoever lost it writes nothing any more.
    """

    def __init__(self, context: Context, shard: rows.LeasedShard) -> None:
        self.shard = shard
        self.token = shard.token
        self._context = context
        self._unwanted = False
        every_s = min(BEAT_S, context.lease.total_seconds() / 4)
        self._lease = KeptLease(self._extend, every_s=every_s)

    def check(self) -> None:
        """Raise if the work must stop.

        Raises:
            JobCancelledError: Nobody wants it any more.
            LeaseLostError: Another worker has it.
        """
        self._lease.check()
        if self._unwanted:
            raise JobCancelledError

    def note(
        self,
        session: Session,
        done: int,
        counts: Mapping[str, int],
        set_aside: Mapping[str, str] | None = None,
    ) -> None:
        """Note what was done, in the transaction that writes it.

        Args:
            session: The unit of work.
            done: Rows that need not be looked at again.
            counts: What came of them, by a stable word.
            set_aside: Why some could not be scored, by id.

        Raises:
            LeaseLostError: Another worker has the shard: nothing of it must be written.
        """
        held = rows.note(
            session, self.token, done=done, counts=counts, set_aside=dict(set_aside or {})
        )
        if not held:
            raise LeaseLostError
        for what, n in counts.items():
            SCORED.add(n, what)

    def failures(self) -> int:
        """Return how often it failed in a row without any progress, before this time.

        Raises:
            LeaseLostError: Another worker has it.
        """
        with self._context.transaction() as session:
            failures = rows.failures(session, self.token)
        if failures is None:
            raise LeaseLostError
        return failures

    def kept_alive(self) -> AbstractContextManager[None]:
        """Extend the lease and tell how far it is from a thread while the block runs."""
        return self._lease.kept()

    def _extend(self) -> bool:
        now = self._context.clock()
        with self._context.transaction() as session:
            unwanted = rows.extend(session, self.token, until=now + self._context.lease)
        self._unwanted = bool(unwanted)
        if unwanted is None:
            return False
        # Apart: whoever holds the job must not cost the lease.
        try:
            with self._context.transaction() as session:
                wait_briefly(session)
                scorings.note_progress(session, self.shard.scoring_id, self.shard.job_id, now=now)
        except TubeGraderError as error:
            log.info("shard.progress_not_noted", shard=self.shard.shard_id, problem=str(error))
        return True


ShardWork = Callable[[Context, ShardHandle], None]
"""Does a shard: writes what comes of it, and notes that with each part."""


def claim(context: Context, session: Session) -> list[uuid.UUID]:
    """Lease what is ready, as much as the workers of the queue will take; return the tokens."""
    now = context.clock()
    wait_briefly(session)
    if not shard_claims.any_ready(session, now=now) or not try_lock(session, "shards"):
        return []
    workers = fleet.workers_of(session, SCORING)
    if not workers and fleet.unfit_of(session, SCORING):
        return []  # they would be given back at once
    room = A_WORKER * max(workers, 1) - shard_claims.count_leased(session, now=now)
    if room <= 0:
        return []
    return shard_claims.claim(session, room=room, now=now, lease=context.lease, workers=workers)


def do(context: Context, token: uuid.UUID, work: ShardWork) -> str:
    """Take a shard and do it; record the end.

    Returns:
        How it ended: ``done``, ``failed``, ``cancelled``, ``planned`` when it is to be tried again,
        or given back because this machine lacks something for it, or ``taken`` when the message
        came late or twice, or another worker has it.
    """
    with context.transaction() as session:
        now = context.clock()
        begun = rows.begin(session, token, until=now + context.lease, now=now)
    if begun is None:
        return "taken"
    handle = ShardHandle(context, begun)
    with structlog.contextvars.bound_contextvars(shard_id=begun.shard_id, job_id=str(begun.job_id)):
        ended = _do(context, handle, work)
    SHARDS.add(1, ended)
    return ended


def _do(context: Context, handle: ShardHandle, work: ShardWork) -> str:
    begun = handle.shard
    try:
        with handle.kept_alive(), translating():
            fitness.check(begun.model_version_ids)
            work(context, handle)
    except LeaseLostError:
        return "taken"
    except JobCancelledError:
        return patiently(context, lambda: _end(context, handle, "cancelled"))
    except HostError as error:
        lacking = error
        models = begun.model_version_ids
        patiently(context, lambda: fitness.found_lacking(context, lacking, models))
        return patiently(context, lambda: _hand_back(context, handle, lacking))
    except TubeGraderError as error:
        failure = error
        log.warning("shard.failed", shard=begun.shard_id, reason=error.reason, problem=str(error))
        return patiently(context, lambda: _fail(context, handle, failure))
    except Exception as error:
        # A defect: say so in the row, and let the worker log the trace.
        defect = PermanentError(f"{type(error).__name__}: {error}", reason="defect")
        patiently(context, lambda: _fail(context, handle, defect))
        raise
    patiently(context, lambda: fitness.found_well(context, begun.model_version_ids))
    return patiently(context, lambda: _end(context, handle, "done"))


def _pause(error: TubeGraderError, failures: int) -> timedelta | None:
    """Return after how long a shard that failed so often is tried again; None: never."""
    if not isinstance(error, TransientError | QuotaError):
        return None
    if failures >= MOST_FAILURES and not isinstance(error, InfrastructureError):
        return None
    return RETRIES.after(failures)


def _end(context: Context, handle: ShardHandle, state: str) -> str:
    now = context.clock()
    with context.transaction() as session:
        scorings.lock_job(session, handle.shard.job_id)
        held = rows.end(session, handle.token, state, now=now)
        if held:
            _tell(session, handle, now=now)
    return state if held else "taken"


def _fail(context: Context, handle: ShardHandle, error: TubeGraderError) -> str:
    now = context.clock()
    with context.transaction() as session:
        scorings.lock_job(session, handle.shard.job_id)
        state = rows.fail(
            session, handle.token, error=_told(error), pause=partial(_pause, error), now=now
        )
        if state is None:
            return "taken"
        if state == "failed":
            # What is wrong with a model is wrong for the others too.
            rows.cancel(session, handle.shard.job_id, now=now)
        _tell(session, handle, now=now)
    return state


def _hand_back(context: Context, handle: ShardHandle, error: HostError) -> str:
    """Leave a shard to the others; where none of them could do it either, it waits or has failed.

    It waits with all of the same models, so that those that can be done come first.
    """
    now, models = context.clock(), handle.shard.model_version_ids
    with context.transaction() as session:
        lives = fleet.workers_of(session, SCORING) + fleet.unfit_of(session, SCORING) > 0
        is_vain = fleet.is_beyond_all(session, SCORING, models)
    if isinstance(error, OtherHereError) and (is_vain or not lives):
        for_good = PermanentError(str(error), reason=error.reason, hint=error.hint)
        return _fail(context, handle, for_good)
    again = now + fitness.AGAIN if is_vain else now
    with context.transaction() as session:
        held = rows.hand_back(session, handle.token, error=_told(error), again_at=again)
        if held and is_vain:
            wait_briefly(session)
            rows.put_off(session, models, until=again)
    return "planned" if held else "taken"


def _told(error: TubeGraderError) -> tuple[str, str, str]:
    return error.kind, error.reason, in_a_line(error)


def _tell(session: Session, handle: ShardHandle, *, now: datetime) -> None:
    """Bring the job up to date; the last of its shards has it go on."""
    scorings.note_progress(session, handle.shard.scoring_id, handle.shard.job_id, now=now)
    scorings.wake(session, handle.shard.job_id, now=now)
