"""Jobs that somebody may ask for more than once by the same key and gets once."""

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from db.models import Job


def find(session: Session, key: str) -> tuple[uuid.UUID, str] | None:
    """Return the job of a key, with the hash of what was asked for by it."""
    found = session.execute(
        select(Job.job_id, Job.submission_sha256).where(Job.submission_key == key)
    ).one_or_none()
    return None if found is None else (found[0], found[1] or "")


def submit(
    session: Session, kind: str, params: Mapping[str, Any], *, key: str, sha256: str, now: datetime
) -> uuid.UUID | None:
    """Record a new job under a key; None where there is one, maybe of this very moment."""
    return session.execute(
        insert(Job)
        .values(
            job_id=uuid.uuid4(),
            kind=kind,
            params=dict(params),
            state="queued",
            ready_at=now,
            created_at=now,
            submission_key=key,
            submission_sha256=sha256,
        )
        .on_conflict_do_nothing(
            index_elements=[Job.submission_key], index_where=Job.submission_key.is_not(None)
        )
        .returning(Job.job_id)
    ).scalar_one_or_none()
