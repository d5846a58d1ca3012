"""Jobs: what users and schedules ask for, with progress, cancellation and an end.

The row is the truth. A worker takes a job by swapping the token it was sent for one of its own,
so a message that comes twice starts nothing twice; a thread keeps the lease while it works.
"""

import threading
import time
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Any, TypeVar

import structlog

from db.models.work import JOB_STATES
from db.queries.work import jobs as rows
from db.queries.work import scorings
from services.context import Context
from services.errors import (
    BusyError,
    InfrastructureError,
    NotFoundError,
    PermanentError,
    QuotaError,
    TransientError,
    TubeGraderError,
    UsageError,
)
from services.metrics.instruments import JOBS
from services.transactions import translating
from services.work import submissions
from services.work.heartbeat import KeptLease, LeaseLostError
from services.work.job_views import JobView, view_of, with_pace
from services.work.kinds import JOB_KINDS
from services.work.submissions import Submission

PAUSABLE = ("score", "retrain")
RETRY_AFTER = timedelta(minutes=1)
"""A job that failed in passing is tried again so much later; its attempts are few."""


AWAITED_FOR = timedelta(seconds=10)
"""A job that waits for its shards is woken by the last of them, and looks after so long anyway."""


class JobCancelledError(Exception):
    """Somebody asked for the job to be cancelled; raised inside the work."""


class AwaitsShardsError(Exception):
    """Others do what is left of the work: the job is given back until they have."""


def submit(
    context: Context, kind: str, params: dict[str, Any], *, once: Submission | None = None
) -> uuid.UUID:
    """Record a job; a dispatcher starts it. Returns its id.

    Args:
        context: The database.
        kind: Of job.
        params: What it is asked to do.
        once: By which key; asking again by it returns the same job.

    Raises:
        PermanentError: Something else was asked for by that key.
    """
    if once is not None:
        return submissions.submit(context, kind, params, once)
    with context.transaction() as session:
        return rows.submit(session, kind, params, now=context.clock())


def view(context: Context, job_id: uuid.UUID) -> JobView:
    """Return a job.

    Raises:
        NotFoundError: There is none with this id.
    """
    with context.transaction() as session:
        job = rows.get(session, job_id)
        if job is None:
            raise NotFoundError(
                f"there is no job {job_id}", hint="`tubegrader jobs list` shows them"
            )
        return with_pace(session, view_of(job), now=context.clock())


def succeeded(job: JobView) -> JobView:
    """Return a job that ended well.

    Raises:
        PermanentError: It failed or was cancelled, with the reason it gave.
    """
    if job.state == "succeeded":
        return job
    raise PermanentError(
        job.error_message or f"the job was {job.state}", reason=job.error_reason or job.state
    )


def newest(
    context: Context,
    *,
    limit: int = 20,
    kind: str | None = None,
    state: str | None = None,
    after: tuple[datetime, uuid.UUID] | None = None,
) -> list[JobView]:
    """Return the newest jobs, of a kind and state if given; those after one's moment and id.

    Raises:
        UsageError: There is no such kind or state.
    """
    for value, known in ((kind, JOB_KINDS), (state, JOB_STATES)):
        if value is not None and value not in known:
            raise UsageError(f"no job is “{value}”", hint=f"use {', '.join(known)}")
    with context.transaction() as session:
        found = rows.newest(session, limit=limit, kind=kind, state=state, after=after)
        return [view_of(job) for job in found]


_DIGITS = 32
"""Of a job's id."""


def find(context: Context, prefix: str) -> JobView:
    """Return the one job whose id starts with ``prefix``.

    Raises:
        NotFoundError: None or several do.
    """
    digits = prefix.lower().replace("-", "")
    found: list[JobView] = []
    if len(digits) <= _DIGITS and not set(digits) - set("0123456789abcdef"):
        low, high = (uuid.UUID(digits.ljust(_DIGITS, end)) for end in "0f")
        with context.transaction() as session:
            found = [view_of(job) for job in rows.between(session, low, high, limit=2)]
    if len(found) != 1:
        problem = "no job" if not found else "more than one job"
        raise NotFoundError(
            f"{problem} with an id that starts with {prefix!r}",
            hint="`tubegrader jobs list` shows them",
        )
    return found[0]


def cancel(context: Context, job_id: uuid.UUID) -> str:
    """Ask a job to stop; return its state afterwards.

    Raises:
        NotFoundError: There is no such job.
    """
    with context.transaction() as session:
        state = rows.request_cancel(session, job_id, now=context.clock())
    if state is None:
        raise NotFoundError(f"there is no job {job_id}", hint="`tubegrader jobs list` shows them")
    return state


def pause(context: Context, job_id: uuid.UUID) -> bool:
    """Begin nothing more of a scoring or retraining; False if it was paused. What runs finishes.

    Raises:
        UsageError: There is no such job, it has ended, or is of another kind.
    """
    job = view(context, job_id)
    if job.ended or job.kind not in PAUSABLE:
        raise UsageError(
            f"the {job.kind} job {job.job_id[:8]} "
            + ("has ended" if job.ended else "cannot be paused"),
            hint=f"{' and '.join(PAUSABLE)} jobs can; `tubegrader work pause` pauses a queue",
        )
    with context.transaction() as session:
        return rows.set_paused(session, job_id, context.clock())


def resume(context: Context, job_id: uuid.UUID) -> bool:
    """Let a paused job go on; False if it was not paused.

    Raises:
        UsageError: There is no such job.
    """
    view(context, job_id)
    with context.transaction() as session:
        return rows.set_paused(session, job_id, None)


class JobHandle:
    """A running job, as its work sees it: say how far it is, learn whether to stop."""

    def __init__(
        self,
        context: Context,
        job_id: uuid.UUID,
        token: uuid.UUID,
        params: dict[str, Any],
        steps: dict[str, Any],
    ) -> None:
        self.job_id = job_id
        self.token = token
        self.params = params
        self.steps = dict(steps)
        self._context = context
        self._cancelled = threading.Event()
        self._lease = KeptLease(self._beat, every_s=min(1.0, context.lease.total_seconds() / 4))
        self._progress: tuple[int, int, str] | None = None

    def progress(self, done: int, total: int, message: str) -> None:
        """Note how far the work is; written by the keeper of the lease.

        Raises:
            JobCancelledError: The user cancelled it.
            LeaseLostError: Another worker has it.
        """
        self._progress = (done, total, message)
        self.check()

    def check(self) -> None:
        """Raise if the work must stop (see ``progress``)."""
        self._lease.check()
        if self._cancelled.is_set():
            raise JobCancelledError

    def end_step(self, name: str, result: dict[str, Any]) -> None:
        """Keep the result of a step that is done: whoever goes on with the job begins after it.

        Raises:
            JobCancelledError: The user cancelled it.
            LeaseLostError: Another worker has it.
        """
        with self._context.transaction() as session:
            if not rows.end_step(session, self.job_id, self.token, name, result):
                raise LeaseLostError
        self.steps[name] = result
        self.check()

    def kept_alive(self) -> AbstractContextManager[None]:
        """Extend the lease and write progress from a thread while the block runs."""
        return self._lease.kept()

    def _beat(self) -> bool:
        done, total, message = self._progress or (None, None, None)
        with self._context.transaction() as session:
            cancel_requested = rows.heartbeat(
                session,
                self.job_id,
                self.token,
                until=self._context.clock() + self._context.lease,
                done=done,
                total=total,
                message=message,
            )
        if cancel_requested:
            self._cancelled.set()
        return cancel_requested is not None


BETWEEN_TRIES_S = 1.0
Ended = TypeVar("Ended")

JobWork = Callable[[Context, JobHandle], dict[str, Any]]
"""The work of a kind of job: gets its handle, returns its result."""


def run(context: Context, job_id: uuid.UUID, token: uuid.UUID, work: JobWork) -> str:
    """Take a job and do its work; record the end. Called by workers.

    Returns:
        How it ended: a job state, ``queued`` when it is to be tried again, ``running`` when it
        waits for its shards, or ``taken`` when another worker has it.
    """
    with context.transaction() as session:
        lease_end = context.clock() + context.lease
        job = rows.take(session, job_id, token, until=lease_end)
        if job is None or job.lease_token is None:
            return "taken"
        handle = JobHandle(context, job_id, job.lease_token, job.params, job.steps)
        kind = job.kind
    with structlog.contextvars.bound_contextvars(job_id=str(job_id), job_kind=kind):
        ended = _run(context, handle, work)
    JOBS.add(1, kind, ended)
    return ended


def _run(context: Context, handle: "JobHandle", work: JobWork) -> str:
    try:
        with handle.kept_alive(), translating():
            result = work(context, handle)
    except LeaseLostError:
        return "taken"
    except JobCancelledError:
        return _finish(context, handle, "cancelled")
    except AwaitsShardsError:
        return patiently(context, lambda: _wait(context, handle))
    except (TransientError, QuotaError) as failure:
        error = failure
        return patiently(context, lambda: _try_again(context, handle, error))
    except TubeGraderError as error:
        return _finish(
            context, handle, "failed", error=(error.kind, error.reason, in_a_line(error))
        )
    except Exception as error:
        # A defect: say so in the row, and let the worker log the trace.
        problem = ("permanent", "defect", f"{type(error).__name__}: {error}")
        _finish(context, handle, "failed", error=problem)
        raise
    return _finish(context, handle, "succeeded", result=result)


def _finish(
    context: Context,
    handle: JobHandle,
    state: str,
    *,
    result: dict[str, Any] | None = None,
    error: tuple[str, str, str] | None = None,
) -> str:
    def finish() -> bool:
        with context.transaction() as session:
            return rows.finish(
                session,
                handle.job_id,
                handle.token,
                state,
                now=context.clock(),
                result=result,
                error=error,
            )

    return state if patiently(context, finish) else "taken"


def _wait(context: Context, handle: JobHandle) -> str:
    now = context.clock()
    with context.transaction() as session:
        kept = rows.wait_for_shards(
            session, handle.job_id, handle.token, again_at=now + AWAITED_FOR
        )
        if kept:
            # The last of them may have ended just before.
            scorings.wake(session, handle.job_id, now=now)
    return "running" if kept else "taken"


def patiently(context: Context, end: Callable[[], Ended]) -> Ended:
    """Record how work ended, also where the database is away meanwhile.

    For as long as a lease: after that the work comes back by itself, as from a worker that died.

    Args:
        context: The database.
        end: Records it; doing it twice changes nothing.

    Raises:
        InfrastructureError: It is away for longer.
    """
    given_up = time.monotonic() + context.lease.total_seconds()
    while True:
        try:
            return end()
        except InfrastructureError:
            if time.monotonic() > given_up:
                raise
            time.sleep(BETWEEN_TRIES_S)


def _try_again(context: Context, handle: JobHandle, error: TransientError | QuotaError) -> str:
    now = context.clock()
    later = error.reset_at if isinstance(error, QuotaError) else now + RETRY_AFTER
    with context.transaction() as session:
        job = rows.get(session, handle.job_id)
        waits = isinstance(error, BusyError | InfrastructureError)
        exhausted = job is None or (job.attempts >= rows.MAX_ATTEMPTS and not waits)
        cancelled = job is not None and job.cancel_requested
        if not exhausted and not cancelled:
            message = f"trying again at {later:%Y-%m-%d %H:%M} UTC: {error}"
            kept = rows.retry_later(
                session, handle.job_id, handle.token, at=later, message=message, counted=not waits
            )
            return "queued" if kept else "taken"
    if cancelled:
        return _finish(context, handle, "cancelled")
    return _finish(context, handle, "failed", error=(error.kind, error.reason, in_a_line(error)))


def in_a_line(error: TubeGraderError) -> str:
    """Return what is wrong and, if there is one, what to do."""
    return f"{error} ({error.hint})" if error.hint else str(error)
