"""Who may use the pages and the HTTP API from where."""

from datetime import datetime

from sqlalchemy import CheckConstraint, Identity, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from db.base import SHA256_PATTERN, Base, Sha256

SCOPES = ("read", "operate", "admin")
"""Each may what those before it may."""


class ApiToken(Base):
    """A token of the HTTP API: what is kept of it does not let anybody in."""

    __tablename__ = "api_tokens"
    __table_args__ = (
        CheckConstraint("name <> ''", name="name_given"),
        CheckConstraint(f"scope IN {SCOPES}", name="scope_known"),
        CheckConstraint(f"sha256 ~ '{SHA256_PATTERN}'", name="sha256_form"),
        Index("ix_api_tokens_sha256", "sha256", unique=True),
        Index(
            "ix_api_tokens_name", "name", unique=True, postgresql_where=text("revoked_at IS NULL")
        ),
    )

    api_token_id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(comment="one in force of each name")
    sha256: Mapped[Sha256] = mapped_column(comment="of the token, which is 256 random bits")
    scope: Mapped[str] = mapped_column(comment="the widest that it has")
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None] = mapped_column(comment="NULL: never")
    used_at: Mapped[datetime | None] = mapped_column(
        comment="when it was last used, to the hour; NULL: never"
    )
    revoked_at: Mapped[datetime | None]
