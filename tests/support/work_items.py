"""Work items of channels for tests: added, claimed and failed."""

import uuid
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from db.queries.catalog import channels
from db.queries.work import work_items
from services.context import Context
from tests.support.crawl import NOW

KIND = "channel.snapshot"
LEASE = timedelta(minutes=2)
DAY = timedelta(days=1)


def channel_id(number: int) -> str:
    return f"UC{number:022d}"


def add(context: Context, count: int, *, slot: datetime = NOW) -> list[str]:
    """Watch so many channels, with one item of work each."""
    ids = [channel_id(n) for n in range(count)]
    with context.transaction() as session:
        channels.add(session, ids, now=NOW)
        work_items.add_items(session, KIND, [(c, c) for c in ids], slot=slot)
    return ids


def claim(session: Session, *, limit: int = 50, now: datetime = NOW) -> uuid.UUID | None:
    return work_items.claim(session, KIND, limit=limit, now=now, lease=LEASE)


def fail(session: Session, token: uuid.UUID, ids: list[str], **how: object) -> int:
    values = {"kind": "transient", "reason": "timeout", "message": "too slow", "now": NOW} | how
    return work_items.fail(session, token, ids, **values)
