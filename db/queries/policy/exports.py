"""Folders that exports wrote, until they are purged."""

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from db.models import Export


def record_export(session: Session, values: dict[str, Any]) -> None:
    """Note a folder that an export wrote."""
    session.execute(insert(Export).values(**values))


def due_exports(session: Session, *, before: datetime) -> Sequence[Export]:
    """Return the exports whose oldest statistic is from before a moment."""
    statement = select(Export).where(Export.purged_at.is_(None), Export.oldest_at < before)
    return session.scalars(statement.order_by(Export.created_at)).all()


def end_export(session: Session, export_id: uuid.UUID, *, now: datetime) -> None:
    """Note that an export's folder is gone."""
    session.execute(update(Export).where(Export.export_id == export_id).values(purged_at=now))
