"""Scorings: what a job scores, how far its shards are, and what came of them."""

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select, text
from sqlalchemy.orm import Session

from db.models import Scoring

SAMPLED_S, KEPT_S = 5.0, 300.0
"""The pace is told by samples so far apart, of the last minutes."""
NAMED = 20
"""Ids that are kept of what was set aside for a reason; how many there were is counted."""


@dataclass(frozen=True)
class Outcome:
    """What came of a scoring's shards.

    Attributes:
        counts: Added up over the shards, by word.
        aside: How many rows were set aside, by reason.
        named: Some of their ids, by reason.
        error: Kind, reason and message of a shard that failed; None if none did.
        cancelled: Shards that were cancelled.
    """

    counts: dict[str, int]
    aside: dict[str, int]
    named: dict[str, list[str]]
    error: tuple[str, str, str] | None
    cancelled: int


def of_job(session: Session, job_id: uuid.UUID, purposes: Collection[str]) -> list[Scoring]:
    """Return what a job scores for some purposes, in the order in which it was begun."""
    return list(
        session.scalars(
            select(Scoring)
            .where(Scoring.job_id == job_id, Scoring.purpose.in_(purposes))
            .order_by(Scoring.scoring_id)
        )
    )


def add(
    session: Session,
    job_id: uuid.UUID,
    *,
    task: str,
    purpose: str,
    model_version_ids: Collection[int],
    now: datetime,
) -> Scoring:
    """Note what a job is going to score."""
    scoring = Scoring(
        job_id=job_id,
        task=task,
        purpose=purpose,
        model_version_ids=sorted(model_version_ids),
        created_at=now,
    )
    session.add(scoring)
    session.flush()
    return scoring


def end_planning(session: Session, scoring_id: int, *, n_elsewhere: int, now: datetime) -> None:
    """Note that all shards of a scoring are there."""
    scoring = session.get_one(Scoring, scoring_id)
    scoring.planned_at, scoring.n_elsewhere = now, n_elsewhere
    session.flush()


def plan_again(session: Session, scoring_id: int) -> None:
    """Have what shards of other jobs covered looked at once more, now that those have ended."""
    scoring = session.get_one(Scoring, scoring_id)
    scoring.planned_at, scoring.n_elsewhere = None, 0
    session.flush()


def n_planned(session: Session, scoring_id: int) -> int:
    """Return the number of the next shard of a scoring."""
    statement = text("SELECT coalesce(max(number) + 1, 0) FROM shards WHERE scoring_id = :s")
    return int(session.execute(statement, {"s": scoring_id}).scalar_one())


def is_live(session: Session, scoring_ids: Sequence[int]) -> bool:
    """Tell whether a shard of these has not ended, or one that another job has of the same models.

    Shards go on without their jobs, so two may wait for each other's; but not for those of a job
    that is paused.
    """
    statement = text(
        """
        SELECT EXISTS (
            SELECT FROM shards s JOIN scorings other USING (scoring_id)
            WHERE s.ready_at IS NOT NULL AND EXISTS (
                SELECT FROM scorings mine WHERE mine.scoring_id = ANY(:ids)
                  AND (mine.scoring_id = other.scoring_id OR (
                    other.job_id <> mine.job_id AND mine.n_elsewhere > 0
                    AND mine.model_version_ids = other.model_version_ids
                    AND EXISTS (
                        SELECT FROM jobs j WHERE j.job_id = other.job_id AND j.paused_at IS NULL
                    )
                  ))
            )
        )
        """
    )
    return bool(session.execute(statement, {"ids": list(scoring_ids)}).scalar_one())


def progress(session: Session, job_id: uuid.UUID) -> tuple[int, int]:
    """Return how many rows of a job are done, and how many there are."""
    statement = text(
        "SELECT coalesce(sum(s.n_done), 0), coalesce(sum(s.n_rows), 0) "
        "FROM shards s JOIN scorings g USING (scoring_id) WHERE g.job_id = :job"
    )
    done, total = session.execute(statement, {"job": job_id}).one()
    return int(done), int(total)


def note_progress(session: Session, scoring_id: int, job_id: uuid.UUID, *, now: datetime) -> None:
    """Bring a job that waits for its shards up to date, and sample the pace now and then.

    What somebody else holds is left as it is: nobody waits to say how far he is.
    """
    done, total = progress(session, job_id)
    session.execute(
        text(
            """
            UPDATE jobs j SET progress_done = :done, progress_total = :total FROM (
                SELECT job_id FROM jobs WHERE job_id = :job AND awaits_shards
                FOR NO KEY UPDATE SKIP LOCKED
            ) free WHERE j.job_id = free.job_id
            """
        ),
        {"job": job_id, "done": done, "total": total},
    )
    samples = session.execute(
        text("SELECT samples FROM scorings WHERE scoring_id = :s"), {"s": scoring_id}
    ).scalar_one()
    at = now.timestamp()
    if samples and at - samples[-1][0] < SAMPLED_S:
        return
    scoring = session.scalars(
        select(Scoring)
        .where(Scoring.scoring_id == scoring_id)
        # Not so strong that shards could not be added meanwhile.
        .with_for_update(key_share=True, skip_locked=True)
        .execution_options(populate_existing=True)
    ).one_or_none()
    if scoring is None:
        return
    recent = [sample for sample in scoring.samples if at - sample[0] <= KEPT_S]
    scoring.samples = [*recent, [at, done]]
    session.flush()


def rows_per_s(session: Session, job_id: uuid.UUID, *, now: datetime) -> float | None:
    """Return how many rows of a job were done a second of late; None: not known."""
    statement = text("SELECT samples FROM scorings WHERE job_id = :job")
    found = sorted(
        (at, done)
        for samples in session.scalars(statement, {"job": job_id})
        for at, done in samples
        if now.timestamp() - at <= KEPT_S
    )
    if not found or found[-1][0] <= found[0][0]:
        return None
    return float((found[-1][1] - found[0][1]) / (found[-1][0] - found[0][0])) or None


def worker_pace(session: Session, task: str, *, shards: int = 50) -> float | None:
    """Return how many rows a second one worker did of the last shards of a task; None: of none."""
    statement = text(
        """
        SELECT sum(n) / nullif(sum(extract(epoch FROM took)), 0) FROM (
            SELECT coalesce((s.counts ->> 'scored')::bigint, (s.counts ->> 'clips')::bigint) AS n,
                s.ended_at - s.begun_at AS took
            FROM shards s JOIN scorings g USING (scoring_id)
            WHERE s.state = 'done' AND g.task = :task AND s.begun_at < s.ended_at
            ORDER BY s.ended_at DESC LIMIT :shards
        ) recent
        """
    )
    pace = session.execute(statement, {"task": task, "shards": shards}).scalar_one()
    return None if pace is None else float(pace)


def lock_job(session: Session, job_id: uuid.UUID) -> None:
    """Have who ends a shard and who begins to wait for it follow each other."""
    session.execute(text("SELECT FROM jobs WHERE job_id = :job FOR NO KEY UPDATE"), {"job": job_id})


def wake(session: Session, job_id: uuid.UUID, *, now: datetime) -> None:
    """Have a job that waits for its shards go on at once where none of them is left."""
    session.execute(
        text(
            """
            UPDATE jobs SET ready_at = :now
            WHERE job_id = :job AND awaits_shards AND ready_at > :now AND NOT EXISTS (
                SELECT FROM shards s JOIN scorings g USING (scoring_id)
                WHERE g.job_id = :job AND s.ready_at IS NOT NULL
            ) AND NOT EXISTS (
                -- Those of others end without a word to it: it looks for itself now and then.
                SELECT FROM scorings g WHERE g.job_id = :job AND g.n_elsewhere > 0
            )
            """
        ),
        {"job": job_id, "now": now},
    )


def outcome(session: Session, scoring_id: int) -> Outcome:
    """Return what came of a scoring's shards, once they have ended."""
    mine = {"s": scoring_id, "named": NAMED}
    counts = session.execute(
        text(
            "SELECT c.key, sum(c.value::bigint) FROM shards, jsonb_each_text(counts) c "
            "WHERE scoring_id = :s GROUP BY 1"
        ),
        mine,
    )
    aside = session.execute(
        text(
            "SELECT a.value, count(*), (array_agg(a.key ORDER BY a.key))[1 : :named] "
            "FROM shards, jsonb_each_text(set_aside) a WHERE scoring_id = :s GROUP BY 1 ORDER BY 1"
        ),
        mine,
    ).all()
    failed = session.execute(
        text(
            "SELECT error_kind, error_reason, error_message FROM shards "
            "WHERE scoring_id = :s AND state = 'failed' ORDER BY ended_at LIMIT 1"
        ),
        mine,
    ).one_or_none()
    cancelled = session.execute(
        text("SELECT count(*) FROM shards WHERE scoring_id = :s AND state = 'cancelled'"), mine
    ).scalar_one()
    return Outcome(
        {name: int(n) for name, n in counts},
        {reason: n for reason, n, _ in aside},
        {reason: list(ids) for reason, _, ids in aside},
        None if failed is None else (failed[0], failed[1], failed[2]),
        int(cancelled),
    )


def last_failure(session: Session, scoring_id: int) -> tuple[str, str] | None:
    """Return reason and message of a shard that failed and is to be tried again, or None."""
    statement = text(
        "SELECT error_reason, error_message FROM shards "
        "WHERE scoring_id = :s AND state = 'planned' AND error_reason IS NOT NULL "
        "ORDER BY ready_at DESC LIMIT 1"
    )
    found = session.execute(statement, {"s": scoring_id}).one_or_none()
    return None if found is None else (found[0], found[1])


def models_waited_for(session: Session, job_id: uuid.UUID) -> list[list[int]]:
    """Return the sets of models that shards of a job are still to be done with."""
    statement = text(
        "SELECT model_version_ids FROM scorings g WHERE job_id = :job AND EXISTS ("
        "SELECT FROM shards s WHERE s.scoring_id = g.scoring_id AND s.ready_at IS NOT NULL)"
    )
    return list(session.scalars(statement, {"job": job_id}))


def another_waits(session: Session, job_id: uuid.UUID, *, kind: str, task: str) -> bool:
    """Tell whether another job of a kind and task waits for its shards, without a worker."""
    statement = text(
        "SELECT EXISTS (SELECT FROM jobs WHERE awaits_shards AND job_id <> :job AND kind = :kind "
        "AND coalesce(params ->> 'task', 'thumbnails') = :task)"
    )
    values: dict[str, Any] = {"job": job_id, "kind": kind, "task": task}
    return bool(session.execute(statement, values).scalar_one())


def forget_of(session: Session, job_ids: Collection[uuid.UUID]) -> None:
    """Delete what jobs scored, so that each plans anew."""
    session.execute(delete(Scoring).where(Scoring.job_id.in_(job_ids)))


def forget(session: Session, *, before: datetime) -> int:
    """Delete the scorings, with shards, of jobs that ended before then; return how many."""
    statement = text(
        "DELETE FROM scorings g USING jobs j "
        "WHERE j.job_id = g.job_id AND j.finished_at < :before RETURNING 1"
    )
    return len(session.execute(statement, {"before": before}).all())
