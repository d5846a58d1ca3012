"""What we may keep: approvals that allow more than YouTube's terms, and exports that were made."""

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, Identity, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from db.base import CHANNEL_ID_PATTERN, SHA256_PATTERN, Base, ChannelId, Sha256

APPROVAL_SCOPES = ("statistics", "thumbnails", "audio")


class Approval(Base):
    """A permission to go beyond the terms, by its reference. Revoked ones stay as rows."""

    __tablename__ = "approvals"
    __table_args__ = (
        CheckConstraint("expires_at > granted_at", name="expires_later"),
        CheckConstraint("reference <> ''", name="reference_given"),
        CheckConstraint(f"scope IN {APPROVAL_SCOPES}", name="scope_known"),
        CheckConstraint(f"channel_id ~ '{CHANNEL_ID_PATTERN}'", name="channel_id_form"),
        Index(
            "uq_approvals_in_force",
            "reference",
            "scope",
            "channel_id",
            unique=True,
            postgresql_where=text("revoked_at IS NULL"),
            postgresql_nulls_not_distinct=True,
        ),
    )

    approval_id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    reference: Mapped[str] = mapped_column(comment="of the letter, ticket or contract")
    scope: Mapped[str]
    channel_id: Mapped[ChannelId | None] = mapped_column(
        comment="the one channel it speaks of; NULL: all. It need not be watched yet"
    )
    granted_at: Mapped[datetime]
    expires_at: Mapped[datetime | None] = mapped_column(comment="NULL: until it is revoked")
    note: Mapped[str | None]
    recorded_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]


class Export(Base):
    """A folder that an export wrote, so that what is in it can be let go in time."""

    __tablename__ = "exports"
    __table_args__ = (CheckConstraint(f"manifest_sha256 ~ '{SHA256_PATTERN}'", name="sha256_form"),)

    export_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    directory: Mapped[str]
    host: Mapped[str] = mapped_column(comment="the machine or container it was written on")
    place_id: Mapped[uuid.UUID | None] = mapped_column(
        comment="the folder it was written to, as the mark in it says; NULL: there was none yet"
    )
    manifest_sha256: Mapped[Sha256]
    created_at: Mapped[datetime]
    oldest_at: Mapped[datetime] = mapped_column(
        comment="when the oldest statistic in it was read; what terms count from"
    )
    purged_at: Mapped[datetime | None]


class Size(Base):
    """How large a table, or the objects of a kind, were: what a forecast goes by."""

    __tablename__ = "sizes"

    measured_at: Mapped[datetime] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True, comment="a table, or a kind of objects")
    n_rows: Mapped[int] = mapped_column(comment="an estimate; of objects how many there are")
    bytes: Mapped[int] = mapped_column(comment="of a table with its indexes")
