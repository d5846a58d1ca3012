"""Which installation a database belongs to."""

import uuid

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import Installation


def installation_id(session: Session) -> uuid.UUID:
    """Return the installation's id, the same as long as the database and its copies live."""
    return session.scalars(select(Installation.installation_id)).one()
