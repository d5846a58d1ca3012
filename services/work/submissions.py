"""Asking for a job twice by the same key, as after a lost answer, and getting it once."""

import hashlib
import json
import uuid
from dataclasses import dataclass
from typing import Any

from db.queries.work import submissions as rows
from services.context import Context
from services.errors import PermanentError


@dataclass(frozen=True)
class Submission:
    """By which key something was asked for, and the hash of what."""

    key: str
    sha256: str


def submission(who: str, key: str, asked: dict[str, Any]) -> Submission:
    """Return what a caller asks for by a key; keys of two callers have nothing in common."""
    content = json.dumps(asked, sort_keys=True).encode()
    return Submission(f"{who}/{key}", hashlib.sha256(content).hexdigest())


def find(context: Context, wanted: Submission) -> uuid.UUID | None:
    """Return the job that was asked for by the key, None if it is new.

    Raises:
        PermanentError: Something else was asked for by it (``keyUsedOtherwise``).
    """
    with context.transaction() as session:
        found = rows.find(session, wanted.key)
    if found is None:
        return None
    job_id, sha256 = found
    if sha256 != wanted.sha256:
        raise PermanentError(
            f"something else was asked for by this key: it made the job {job_id}",
            reason="keyUsedOtherwise",
            hint="take a new Idempotency-Key for each thing that you ask for",
        )
    return job_id


def submit(context: Context, kind: str, params: dict[str, Any], wanted: Submission) -> uuid.UUID:
    """Record a job under a key, or return the one that is there.

    Raises:
        PermanentError: As :func:`find`.
    """
    with context.transaction() as session:
        job_id = rows.submit(
            session, kind, params, key=wanted.key, sha256=wanted.sha256, now=context.clock()
        )
    # Somebody else may have been quicker by a moment.
    return job_id or find(context, wanted) or submit(context, kind, params, wanted)
