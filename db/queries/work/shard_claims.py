"""Shards taken under a lease: which come first, what of them is quartered, what nobody wants."""

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from db.models import Job, Scoring, Shard
from db.models.learning import SPEECH, THUMBNAILS
from db.queries.work.shards import end_as

SPLIT_AFTER = 2
"""Losses without any progress after which a shard is quartered: the first is a restart."""
ALONE_AFTER = 5
"""The same after which a row that is alone is set aside: chance kills the same one seldom."""
PARTS = 4
LEAST = {THUMBNAILS: 512, SPEECH: 32}
"""Rows of a shard that is not quartered to share out the last of the work: beginning one costs."""
LOST = "workerLost"


def claim(
    session: Session,
    *,
    room: int,
    now: datetime,
    lease: timedelta,
    model_version_ids: Sequence[int] | None = None,
    workers: int = 1,
) -> list[uuid.UUID]:
    """Lease ready shards, each to a token of its own; none of a paused job.

    The first of each job before the second of any: the newest videos, whoever asked for them. One
    whose workers died without any progress is quartered until the row that they die of is
    alone, which is set aside. What nobody wants any more ends.

    Args:
        session: The unit of work.
        room: The most to lease.
        now: The present moment.
        lease: How long they may go without a word.
        model_version_ids: Only those of exactly these models; None for all.
        workers: Who share them: where too few are left for all of these, they are quartered, so
            that all end at the same time.

    Returns:
        The tokens to send.
    """
    _end_unwanted(session, now=now)
    if workers > 1:
        _share_out(session, workers, now=now)
    statement = (
        select(Shard)
        .join(Scoring, Scoring.scoring_id == Shard.scoring_id)
        .join(Job, Job.job_id == Scoring.job_id)
        .where(Shard.ready_at <= now, Job.paused_at.is_(None))
        # Not who was planned first: a small job would wait for the whole of a large one.
        .order_by(Shard.number, Shard.scoring_id, Shard.ready_at, Shard.shard_id)
        .limit(room)
        .with_for_update(skip_locked=True, of=Shard)
    )
    if model_version_ids is not None:
        statement = statement.where(Scoring.model_version_ids == list(model_version_ids))
    tokens = []
    for shard in session.scalars(statement).all():
        is_lost = shard.state == "leased"
        if is_lost and len(shard.covers) == 1 and shard.losses >= ALONE_AFTER:
            _give_up(shard, now=now)
            continue
        if is_lost and len(shard.covers) > 1 and shard.losses >= SPLIT_AFTER:
            _split(session, shard, now=now)
            continue
        shard.state, shard.lease_token = "leased", uuid.uuid4()
        shard.ready_at = now + lease
        tokens.append(shard.lease_token)
    session.flush()
    return tokens


def any_ready(session: Session, *, now: datetime) -> bool:
    """Tell whether a shard may be ready; paused ones count."""
    statement = text("SELECT EXISTS (SELECT FROM shards WHERE ready_at <= :now)")
    return bool(session.execute(statement, {"now": now}).scalar_one())


def count_leased(session: Session, *, now: datetime) -> int:
    """Count the shards under a live lease."""
    statement = text("SELECT count(*) FROM shards WHERE state = 'leased' AND ready_at > :now")
    return int(session.execute(statement, {"now": now}).scalar_one())


def _give_up(shard: Shard, *, now: datetime) -> None:
    shard.set_aside = {**shard.set_aside, shard.covers[0]: LOST}
    shard.n_done = shard.n_rows
    end_as(shard, "done", now=now)


def _share_out(session: Session, workers: int, *, now: datetime) -> None:
    """Quarter what is ready where it is less than workers would begin after what they do now."""
    last = (
        select(Shard, Scoring.task)
        .join(Scoring, Scoring.scoring_id == Shard.scoring_id)
        .join(Job, Job.job_id == Scoring.job_id)
        .where(
            Shard.ready_at <= now,
            Shard.state == "planned",
            Scoring.planned_at.is_not(None),
            Job.paused_at.is_(None),
        )
        .limit(2 * workers)
        .with_for_update(skip_locked=True, of=Shard)
    )
    found = session.execute(last).all()
    if len(found) == 2 * workers:
        return
    for shard, task in found:
        if len(shard.covers) > LEAST[task]:
            _split(session, shard, now=now, losses=0)
    session.flush()


def _split(session: Session, shard: Shard, *, now: datetime, losses: int = SPLIT_AFTER - 1) -> None:
    """Quarter a shard; what is done of it is found done by its parts, what it counted stays."""
    left = [row for row in shard.covers if row not in shard.set_aside]
    size = -(-len(left) // PARTS)
    for first in range(0, len(left), max(size, 1)):
        part = left[first : first + size]
        session.add(
            Shard(
                scoring_id=shard.scoring_id,
                number=shard.number,
                is_own=shard.is_own,
                covers=part,
                n_rows=len(part),
                state="planned",
                ready_at=now,
                losses=losses,
                failures=shard.failures,
            )
        )
    shard.n_rows = shard.n_done = len(shard.covers) - len(left)
    end_as(shard, "split", now=now)


def _end_unwanted(session: Session, *, now: datetime) -> None:
    """End what is ready of jobs that were cancelled or have ended; not what is being written."""
    session.execute(
        text(
            """
            WITH unwanted AS MATERIALIZED (
                SELECT s.shard_id FROM shards s
                JOIN scorings g USING (scoring_id) JOIN jobs j USING (job_id)
                WHERE s.ready_at <= :now AND (j.cancel_requested OR j.finished_at IS NOT NULL)
                FOR UPDATE OF s SKIP LOCKED
            )
            UPDATE shards s
            SET state = 'cancelled', ready_at = NULL, lease_token = NULL, ended_at = :now
            FROM unwanted u WHERE u.shard_id = s.shard_id
            """
        ),
        {"now": now},
    )
