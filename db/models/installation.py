"""The one installation that a database belongs to."""

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base


class Installation(Base):
    """The id of the installation; one row, made by the migration, the same as long as it lives."""

    __tablename__ = "installation"
    __table_args__ = (CheckConstraint("is_only", name="one_row"),)

    is_only: Mapped[bool] = mapped_column(
        primary_key=True, server_default=text("true"), comment="one row"
    )
    installation_id: Mapped[uuid.UUID] = mapped_column(
        server_default=text("gen_random_uuid()"),
        comment="written into the object store, too; what deletes objects compares both",
    )
    made_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
