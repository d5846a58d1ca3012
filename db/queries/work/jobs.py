"""Jobs: submitted, claimed under a lease, kept alive by progress, ended."""

import uuid
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, func, literal, select, tuple_, update
from sqlalchemy.orm import Session

from db.models import Job
from db.queries.work import scorings, shards

MAX_ATTEMPTS = 3
"""A job whose worker died so often fails instead of starting once more."""


def submit(session: Session, kind: str, params: dict[str, Any], *, now: datetime) -> uuid.UUID:
    """Record a new job, ready at once; return its id."""
    job = Job(
        job_id=uuid.uuid4(), kind=kind, params=params, state="queued", ready_at=now, created_at=now
    )
    session.add(job)
    session.flush()
    return job.job_id


def get(session: Session, job_id: uuid.UUID) -> Job | None:
    """Return a job, or None."""
    return session.get(Job, job_id, populate_existing=True)


def newest(
    session: Session,
    *,
    limit: int,
    kind: str | None = None,
    state: str | None = None,
    after: tuple[datetime, uuid.UUID] | None = None,
) -> list[Job]:
    """Return jobs, of a kind and state if given, newest first; those after one if given."""
    statement = select(Job).order_by(Job.created_at.desc(), Job.job_id.desc()).limit(limit)
    if kind is not None:
        statement = statement.where(Job.kind == kind)
    if state is not None:
        statement = statement.where(Job.state == state)
    if after is not None:
        created_at, job_id = after
        statement = statement.where(
            Job.created_at <= created_at,
            tuple_(Job.created_at, Job.job_id) < tuple_(literal(created_at), literal(job_id)),
        )
    return list(session.scalars(statement))


def counted_by_state(session: Session) -> dict[str, int]:
    """Return how many jobs there are in each state."""
    found = session.execute(select(Job.state, func.count()).group_by(Job.state))
    return {state: n for state, n in found}  # noqa: C416 - a result has keys of its own


def between(session: Session, low: uuid.UUID, high: uuid.UUID, *, limit: int) -> list[Job]:
    """Return some of the jobs whose ids lie between two, both included."""
    statement = select(Job).where(Job.job_id.between(low, high)).order_by(Job.job_id).limit(limit)
    return list(session.scalars(statement))


def lock_active(session: Session, kind: str) -> list[Job]:
    """Return the waiting and running jobs of a kind that nobody else is looking at, locked."""
    return list(
        session.scalars(
            select(Job)
            .where(Job.kind == kind, Job.ready_at.is_not(None))
            .order_by(Job.created_at)
            .with_for_update(skip_locked=True)
        )
    )


def begin(job: Job, *, now: datetime) -> None:
    """Mark a locked job as running, without a worker of its own."""
    job.state = "running"
    job.waiting_until = None
    job.progress_message = None
    job.lease_token = uuid.uuid4()
    job.started_at = job.started_at or now


def claim(
    session: Session, *, kinds: Collection[str], limit: int, now: datetime, lease: timedelta
) -> list[Job]:
    """Lease ready jobs, each to a token of its own; end those whose workers keep dying.

    One that was to be cancelled and whose worker is gone ends too.
    """
    ready = session.scalars(
        select(Job)
        .where(
            Job.kind.in_(kinds),
            Job.ready_at <= now,
            Job.paused_at.is_(None) | Job.cancel_requested,
        )
        .order_by(Job.ready_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    claimed = []
    for job in ready:
        if job.cancel_requested:
            end(job, "cancelled", now=now)
            continue
        if job.attempts >= MAX_ATTEMPTS:
            message = f"its worker ended without a word {job.attempts} times"
            end(job, "failed", now=now, error=("transient", "workerLost", message))
            continue
        begin(job, now=now)
        job.ready_at = now + lease
        claimed.append(job)
    session.flush()
    return claimed


def take(session: Session, job_id: uuid.UUID, token: uuid.UUID, *, until: datetime) -> Job | None:
    """Swap the token a job was sent with for a new one, so that a second message finds nothing.

    Returns:
        The job with its new token, or None when the token is spent.
    """
    job = session.scalars(
        select(Job).where(Job.job_id == job_id, Job.lease_token == token).with_for_update()
    ).one_or_none()
    if job is None:
        return None
    job.lease_token = uuid.uuid4()
    job.ready_at = until
    # Not when it is claimed: until a worker has it, it waits, and others see that.
    job.awaits_shards = False
    # Counted here and not when claimed: a message that waits long in its queue is nobody's death.
    job.attempts += 1
    session.flush()
    return job


def heartbeat(
    session: Session,
    job_id: uuid.UUID,
    token: uuid.UUID,
    *,
    until: datetime,
    done: int | None = None,
    total: int | None = None,
    message: str | None = None,
) -> bool | None:
    """Extend a job's lease and note its progress.

    Returns:
        Whether the user asked to cancel; None when the lease was lost to another worker.
    """
    values: dict[str, Any] = {"ready_at": until}
    if total is not None:
        values["progress_total"] = total
    if done is not None:
        values["progress_done"] = done
    if message is not None:
        values["progress_message"] = message
    return session.execute(
        update(Job)
        .where(Job.job_id == job_id, Job.lease_token == token)
        .values(values)
        .returning(Job.cancel_requested)
    ).scalar_one_or_none()


def end_step(
    session: Session, job_id: uuid.UUID, token: uuid.UUID, name: str, result: dict[str, Any]
) -> bool:
    """Keep the result of a step of a job; False when the lease was lost and nothing changed."""
    job = session.scalars(
        select(Job).where(Job.job_id == job_id, Job.lease_token == token).with_for_update()
    ).one_or_none()
    if job is None:
        return False
    job.steps = {**job.steps, name: result}
    session.flush()
    return True


def finish(
    session: Session,
    job_id: uuid.UUID,
    token: uuid.UUID,
    state: str,
    *,
    now: datetime,
    result: dict[str, Any] | None = None,
    error: tuple[str, str, str] | None = None,
) -> bool:
    """End a job as ``succeeded``, ``failed`` (with kind, reason, message) or ``cancelled``.

    Returns:
        False when the lease was lost and nothing was changed.
    """
    job = session.scalars(
        select(Job).where(Job.job_id == job_id, Job.lease_token == token).with_for_update()
    ).one_or_none()
    if job is None:
        return False
    end(job, state, now=now, result=result, error=error)
    session.flush()
    return True


def wait_for_shards(
    session: Session, job_id: uuid.UUID, token: uuid.UUID, *, again_at: datetime
) -> bool:
    """Give a job back until its shards have ended; it runs on without a worker of its own.

    Args:
        session: The unit of work.
        job_id: Which job.
        token: Of the lease, which nobody has afterwards.
        again_at: When it is looked at in any case.
    """
    job = session.scalars(
        select(Job).where(Job.job_id == job_id, Job.lease_token == token).with_for_update()
    ).one_or_none()
    if job is None:
        return False
    job.awaits_shards = True
    job.lease_token = uuid.uuid4()
    job.ready_at = again_at
    job.attempts = max(job.attempts - 1, 0)
    session.flush()
    return True


def set_paused(session: Session, job_id: uuid.UUID, paused_at: datetime | None) -> bool:
    """Pause a job that has not ended, or resume it; False where that changes nothing."""
    job = session.scalars(select(Job).where(Job.job_id == job_id).with_for_update()).one_or_none()
    if job is None or job.finished_at is not None or (job.paused_at is None) == (paused_at is None):
        return False
    job.paused_at = paused_at
    session.flush()
    return True


def retry_later(
    session: Session,
    job_id: uuid.UUID,
    token: uuid.UUID,
    *,
    at: datetime,
    message: str,
    counted: bool = True,
) -> bool:
    """Give a job back, to be claimed again at a later moment.

    Args:
        session: The unit of work.
        job_id: Which job.
        token: Of the lease.
        at: When it may be claimed again.
        message: Why not now.
        counted: Whether this was one of its attempts.
    """
    return (
        session.execute(
            update(Job)
            .where(Job.job_id == job_id, Job.lease_token == token)
            .values(
                state="queued",
                lease_token=None,
                ready_at=at,
                waiting_until=at,
                progress_message=message,
                attempts=Job.attempts if counted else func.greatest(Job.attempts - 1, 0),
            )
            .returning(Job.job_id)
        ).scalar_one_or_none()
        is not None
    )


def retry(
    session: Session,
    *,
    now: datetime,
    job_ids: Collection[uuid.UUID] | None = None,
    states: Collection[str] = ("failed", "cancelled"),
    reason: str | None = None,
    kind: str | None = None,
) -> list[uuid.UUID]:
    """Queue ended jobs again, as if new but for the steps that are done; return their ids."""
    statement = (
        update(Job)
        .where(Job.state.in_(states))
        .values(
            state="queued",
            ready_at=now,
            attempts=0,
            cancel_requested=False,
            progress_done=0,
            progress_total=0,
            progress_message=None,
            error_kind=None,
            error_reason=None,
            error_message=None,
            started_at=None,
            finished_at=None,
            paused_at=None,
        )
        .returning(Job.job_id)
    )
    if job_ids is not None:
        statement = statement.where(Job.job_id.in_(job_ids))
    if reason is not None:
        statement = statement.where(Job.error_reason == reason)
    if kind is not None:
        statement = statement.where(Job.kind == kind)
    retried = list(session.scalars(statement))
    scorings.forget_of(session, retried)
    return retried


def failed(session: Session, *, reason: str | None, kind: str | None) -> list[uuid.UUID]:
    """Return the ids of the jobs that failed, of a reason and kind; the newest first."""
    statement = select(Job.job_id).where(Job.state == "failed").order_by(Job.created_at.desc())
    if reason is not None:
        statement = statement.where(Job.error_reason == reason)
    if kind is not None:
        statement = statement.where(Job.kind == kind)
    return list(session.scalars(statement))


def request_cancel(session: Session, job_id: uuid.UUID, *, now: datetime) -> str | None:
    """Ask a job to stop; one that has not started ends at once.

    Returns:
        The job's state afterwards, or None if there is no such job.
    """
    job = session.scalars(select(Job).where(Job.job_id == job_id).with_for_update()).one_or_none()
    if job is None:
        return None
    if job.state == "queued":
        end(job, "cancelled", now=now)
    elif job.state == "running":
        job.cancel_requested = True
        shards.cancel(session, job_id, now=now)
        if job.awaits_shards:
            job.ready_at = now
    session.flush()
    return job.state


def forget(session: Session, *, before: datetime) -> int:
    """Delete the jobs that ended before a moment; return how many there were."""
    statement = delete(Job).where(Job.finished_at < before).returning(Job.job_id)
    return len(session.execute(statement).all())


def end(
    job: Job,
    state: str,
    *,
    now: datetime,
    result: dict[str, Any] | None = None,
    error: tuple[str, str, str] | None = None,
) -> None:
    """End a locked job; ``error`` is kind, reason and message."""
    job.state = state
    job.waiting_until = None
    job.ready_at = None
    job.lease_token = None
    job.awaits_shards = False
    job.finished_at = now
    job.result = result
    if state == "succeeded":
        # Progress is noted now and then, so the last was never that of the end.
        job.progress_done = job.progress_total
    if error is not None:
        job.error_kind, job.error_reason, job.error_message = error
