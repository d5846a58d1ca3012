"""Shards of a scoring: planned, begun under a lease, noted, ended or given back."""

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from db.models import Job, Scoring, Shard
from db.queries import streaming


@dataclass(frozen=True)
class LeasedShard:
    """A shard that was begun, with what it is to be scored with; ``token`` is its lease."""

    token: uuid.UUID
    shard_id: int
    scoring_id: int
    job_id: uuid.UUID
    task: str
    model_version_ids: Sequence[int]
    is_own: bool
    covers: Sequence[str]
    set_aside: Mapping[str, str]
    n_done: int


def add(
    session: Session,
    scoring_id: int,
    covers: Sequence[str],
    *,
    number: int,
    is_own: bool,
    now: datetime,
) -> None:
    """Plan a shard of these rows, ready at once."""
    session.add(
        Shard(
            scoring_id=scoring_id,
            number=number,
            is_own=is_own,
            covers=list(covers),
            n_rows=len(covers),
            state="planned",
            ready_at=now,
        )
    )


def covered(
    session: Session, job_id: uuid.UUID, model_version_ids: Sequence[int], *, is_own: bool
) -> Iterator[tuple[uuid.UUID, list[str]]]:
    """Yield the job and the rows of each live shard of exactly these models, for a job that plans.

    Args:
        session: The unit of work.
        job_id: Who plans.
        model_version_ids: The models.
        is_own: Of rows of their own dataset, or of the others.
    """
    statement = (
        select(Scoring.job_id, Shard.covers)
        .join(Scoring, Scoring.scoring_id == Shard.scoring_id)
        .join(Job, Job.job_id == Scoring.job_id)
        .where(
            # What a paused job has planned others need not wait for.
            Job.paused_at.is_(None) | (Scoring.job_id == job_id),
            Shard.ready_at.is_not(None),
            Shard.is_own.is_(is_own),
            Scoring.model_version_ids == list(model_version_ids),
        )
    )
    for page in streaming.pages(session, statement, size=10):
        yield from ((job_id, covers) for job_id, covers in page)


def begin(
    session: Session, token: uuid.UUID, *, until: datetime, now: datetime
) -> LeasedShard | None:
    """Swap the token a shard was sent with for a new one; None where it is spent."""
    shard = session.scalars(
        select(Shard).where(Shard.lease_token == token).with_for_update()
    ).one_or_none()
    if shard is None:
        return None
    scoring = session.get_one(Scoring, shard.scoring_id)
    shard.lease_token = uuid.uuid4()
    shard.ready_at, shard.begun_at = until, now
    shard.losses += 1  # taken back unless its worker dies
    session.flush()
    return LeasedShard(
        shard.lease_token,
        shard.shard_id,
        shard.scoring_id,
        scoring.job_id,
        scoring.task,
        tuple(scoring.model_version_ids),
        shard.is_own,
        tuple(shard.covers),
        dict(shard.set_aside),
        shard.n_done,
    )


def extend(session: Session, token: uuid.UUID, *, until: datetime) -> bool | None:
    """Move the end of a lease.

    Returns:
        Whether its job is to be cancelled, or has ended; None when the lease was lost.
    """
    statement = text(
        """
        UPDATE shards s SET ready_at = :until
        FROM scorings g JOIN jobs j USING (job_id)
        WHERE s.lease_token = :token AND g.scoring_id = s.scoring_id
        RETURNING j.cancel_requested OR j.finished_at IS NOT NULL
        """
    )
    return session.execute(statement, {"token": token, "until": until}).scalar_one_or_none()


def note(
    session: Session,
    token: uuid.UUID,
    *,
    done: int,
    counts: Mapping[str, int],
    set_aside: Mapping[str, str],
) -> bool:
    """Note what was done of a shard, in the transaction that writes it; False: the lease is lost.

    Progress speaks for its rows: what its workers died of before is forgotten.
    """
    shard = _held(session, token)
    if shard is None:
        return False
    shard.n_done = min(shard.n_done + done, shard.n_rows)
    shard.counts = added(shard.counts, counts)
    shard.set_aside = {**shard.set_aside, **set_aside}
    shard.failures, shard.losses = 0, 1
    session.flush()
    return True


def added(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    """Return two counts by word as one."""
    return {name: one.get(name, 0) + other.get(name, 0) for name in {**one, **other}}


def end(session: Session, token: uuid.UUID, state: str, *, now: datetime) -> bool:
    """End a shard as ``done`` or ``cancelled``; False when the lease was lost."""
    shard = _held(session, token)
    if shard is None:
        return False
    end_as(shard, state, now=now)
    if state == "done":
        shard.n_done = shard.n_rows
    session.flush()
    return True


def fail(
    session: Session,
    token: uuid.UUID,
    *,
    error: tuple[str, str, str],
    pause: Callable[[int], timedelta | None],
    now: datetime,
) -> str | None:
    """End a shard badly: ready again after a pause, or failed for good.

    Args:
        session: The unit of work.
        token: Its lease.
        error: Kind, reason and message.
        pause: After how long it is tried again, by how often it failed in a row without any
            progress; None: never.
        now: The present moment.

    Returns:
        ``planned`` or ``failed``; None when the lease was lost.
    """
    shard = _held(session, token)
    if shard is None:
        return None
    shard.failures += 1
    later = pause(shard.failures)
    if later is None:
        _note_error(shard, error)
        end_as(shard, "failed", now=now)
    else:
        _give_back(shard, error, at=now + later)
    session.flush()
    return shard.state


def hand_back(
    session: Session, token: uuid.UUID, *, error: tuple[str, str, str], again_at: datetime
) -> bool:
    """Give a shard back that cannot be done where it is: it counts as no failure of its own.

    Returns:
        False when the lease was lost and nothing changed.
    """
    shard = _held(session, token)
    if shard is None:
        return False
    _give_back(shard, error, at=again_at)
    session.flush()
    return True


def put_off(session: Session, model_version_ids: Sequence[int], *, until: datetime) -> None:
    """Have what is planned for exactly these models wait, but for what somebody holds."""
    waiting = (
        select(Shard.shard_id)
        .join(Scoring, Scoring.scoring_id == Shard.scoring_id)
        .where(
            Scoring.model_version_ids == list(model_version_ids),
            Shard.state == "planned",
            Shard.ready_at < until,
        )
        .with_for_update(skip_locked=True, of=Shard)
        .cte("waiting")
        .prefix_with("MATERIALIZED")
    )
    session.execute(
        update(Shard)
        .where(Shard.shard_id == waiting.c.shard_id)
        .values(ready_at=until)
        .execution_options(synchronize_session=False)
    )


def failures(session: Session, token: uuid.UUID) -> int | None:
    """Return how often a shard failed in a row without any progress; None: the lease was lost."""
    statement = select(Shard.failures).where(Shard.lease_token == token)
    return session.execute(statement).scalar_one_or_none()


def cancel(session: Session, job_id: uuid.UUID, *, now: datetime) -> None:
    """End what is planned of a job and not begun."""
    mine = select(Scoring.scoring_id).where(Scoring.job_id == job_id)
    session.execute(
        update(Shard)
        .where(Shard.scoring_id.in_(mine), Shard.state == "planned")
        .values(state="cancelled", ready_at=None, ended_at=now)
        .execution_options(synchronize_session=False)
    )


def _held(session: Session, token: uuid.UUID) -> Shard | None:
    return session.scalars(
        select(Shard)
        .where(Shard.lease_token == token)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one_or_none()


def end_as(shard: Shard, state: str, *, now: datetime) -> None:
    """End a locked shard in a state that is no other's to change."""
    shard.state, shard.ready_at, shard.lease_token, shard.ended_at = state, None, None, now


def _note_error(shard: Shard, error: tuple[str, str, str]) -> None:
    shard.error_kind, shard.error_reason, shard.error_message = error
    shard.losses = max(shard.losses - 1, 0)


def _give_back(shard: Shard, error: tuple[str, str, str], *, at: datetime) -> None:
    _note_error(shard, error)
    shard.state, shard.lease_token, shard.ready_at = "planned", None, at
