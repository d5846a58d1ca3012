"""Jobs: submitted, claimed under a lease, kept alive by progress, ended."""

import uuid
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from db.models import Job

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
    session: Session, *, limit: int, kind: str | None = None, state: str | None = None
) -> list[Job]:
    """Return jobs, of a kind and state if given, newest first."""
    statement = select(Job).order_by(Job.created_at.desc()).limit(limit)
    if kind is not None:
        statement = statement.where(Job.kind == kind)
    if state is not None:
        statement = statement.where(Job.state == state)
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
        .where(Job.kind.in_(kinds), Job.ready_at <= now)
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
        )
        .returning(Job.job_id)
    )
    if job_ids is not None:
        statement = statement.where(Job.job_id.in_(job_ids))
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
    job.finished_at = now
    job.result = result
    if state == "succeeded":
        # Progress is noted now and then, so the last was never that of the end.
        job.progress_done = job.progress_total
    if error is not None:
        job.error_kind, job.error_reason, job.error_message = error
