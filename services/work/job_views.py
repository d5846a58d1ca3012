"""Jobs as front doors show them: how far, how fast of late, when they will have ended."""

import uuid
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from db.models import Job
from db.queries.work import scorings


@dataclass(frozen=True)
class JobView:
    """A job as a front door shows it."""

    job_id: str
    kind: str
    state: str
    progress_done: int
    progress_total: int
    progress_message: str | None
    waiting_until: datetime | None
    error_reason: str | None
    error_message: str | None
    steps: dict[str, Any]
    result: dict[str, Any] | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    paused_at: datetime | None = None
    rows_per_s: float | None = None
    eta: datetime | None = None

    @property
    def ended(self) -> bool:
        """Nothing more will happen to it."""
        return self.state in ("succeeded", "failed", "cancelled")

    def as_json(self) -> dict[str, Any]:
        """Return plain values for ``--json``."""
        return {k: v.isoformat() if isinstance(v, datetime) else v for k, v in asdict(self).items()}


def view_of(job: Job) -> JobView:
    """Return a job as front doors show it."""
    return JobView(
        job_id=str(job.job_id),
        kind=job.kind,
        state=job.state,
        progress_done=job.progress_done,
        progress_total=job.progress_total,
        progress_message=job.progress_message,
        waiting_until=job.waiting_until,
        error_reason=job.error_reason,
        error_message=job.error_message,
        steps=job.steps,
        result=job.result,
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        paused_at=job.paused_at,
    )


def with_pace(session: Session, job: JobView, *, now: datetime) -> JobView:
    """Add how fast a job that waits for its shards is of late, and when it will have ended."""
    if job.state != "running":
        return job
    pace = scorings.rows_per_s(session, uuid.UUID(job.job_id), now=now)
    if pace is None or job.paused_at is not None:
        return replace(job, rows_per_s=pace)
    left = job.progress_total - job.progress_done
    return replace(job, rows_per_s=pace, eta=now + timedelta(seconds=left / pace))
