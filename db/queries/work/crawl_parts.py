"""How far a crawl job is, part by part: what is over is not counted again."""

import uuid
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, func, insert, select, text, update
from sqlalchemy.orm import Session

from db.models import CrawlPart
from db.queries.work.progress import Progress


def add_up_to(session: Session, job_id: uuid.UUID, end: int, *, total: int = 0) -> None:
    """Note the channels after those of the parts that there are as another part, not counted yet.

    Args:
        session: The unit of work.
        job_id: The crawl job, locked.
        end: Place of the channel after its last one; nothing happens if parts go as far.
        total: Their work items, if that is known.
    """
    ends = func.max(CrawlPart.first + CrawlPart.channels)
    first = session.scalar(select(ends).where(CrawlPart.job_id == job_id)) or 0
    if first < end:
        part = {"job_id": job_id, "first": first, "channels": end - first, "total": total}
        session.execute(insert(CrawlPart).values(part))


def next_parts(session: Session, job_id: uuid.UUID, *, most: int) -> Sequence[tuple[int, int]]:
    """Return the first channel and the number of those parts that were not counted for longest."""
    statement = (
        select(CrawlPart.first, CrawlPart.channels)
        .where(CrawlPart.job_id == job_id, ~CrawlPart.is_over)
        .order_by(CrawlPart.counted_at.asc().nulls_first(), CrawlPart.first)
        .limit(most)
    )
    return [(first, channels) for first, channels in session.execute(statement)]


def note(
    session: Session, job_id: uuid.UUID, first: int, counted: Progress, *, now: datetime
) -> None:
    """Note how far a part is."""
    session.execute(
        update(CrawlPart)
        .where(CrawlPart.job_id == job_id, CrawlPart.first == first)
        .values(
            total=counted.total,
            done=counted.done,
            failed=counted.failed,
            in_doubt=counted.in_doubt,
            is_over=counted.finished,
            counted_at=now,
            waiting_until=counted.waiting_until,
            waiting_kind=counted.waiting_kind,
            waiting_reason=counted.waiting_reason,
            waiting_message=counted.waiting_message,
        )
    )


def together(session: Session, job_id: uuid.UUID) -> tuple[Progress, bool]:
    """Return how far all parts are as they were last counted, and whether all of them are over."""
    row = session.execute(
        text(
            """
            SELECT coalesce(sum(total), 0)::bigint AS total, coalesce(sum(done), 0)::bigint AS done,
                coalesce(sum(failed), 0)::bigint AS failed,
                coalesce(sum(in_doubt), 0)::bigint AS in_doubt,
                coalesce(bool_and(is_over), true) AS are_over,
                coalesce(bool_and(is_over OR waiting_until IS NOT NULL), false) AS are_waiting
            FROM crawl_parts WHERE job_id = :job
            """
        ),
        {"job": job_id},
    ).one()
    first = None
    if row.are_waiting:
        waiting = CrawlPart.job_id == job_id, ~CrawlPart.is_over
        # One that is refused with a reason explains more than one that is only later.
        explained = func.num_nulls(CrawlPart.waiting_reason)
        first = session.scalars(
            select(CrawlPart).where(*waiting).order_by(explained, CrawlPart.waiting_until).limit(1)
        ).one_or_none()
        until = session.scalar(select(func.min(CrawlPart.waiting_until)).where(*waiting))
    return Progress(
        total=row.total,
        done=row.done,
        failed=row.failed,
        in_doubt=row.in_doubt,
        waiting_until=None if first is None else until,
        waiting_kind=None if first is None else first.waiting_kind,
        waiting_reason=None if first is None else first.waiting_reason,
        waiting_message=None if first is None else first.waiting_message,
    ), row.are_over


def forget(session: Session, job_id: uuid.UUID) -> None:
    """Forget the parts of a job."""
    session.execute(delete(CrawlPart).where(CrawlPart.job_id == job_id))
