"""Scoring cut into shards: what a job asked for, and the parts that workers do of it."""

import uuid
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base
from db.models.learning import TASKS
from db.models.work import ERROR_KINDS

NEWEST: Final = "newest"
IN_USE: Final = "inUse"
PURPOSES = (NEWEST, IN_USE)
"""With which models: those trained last, to be compared, or those whose scores users read."""
SHARD_STATES = ("planned", "leased", "done", "split", "failed", "cancelled")


class Scoring(Base):
    """What a job scores: with which models, how many rows, how fast it went of late."""

    __tablename__ = "scorings"
    __table_args__ = (
        CheckConstraint(f"task IN {TASKS}", name="task_known"),
        CheckConstraint(f"purpose IN {PURPOSES}", name="purpose_known"),
        CheckConstraint("n_elsewhere >= 0", name="elsewhere"),
        UniqueConstraint("job_id", "purpose"),
    )

    scoring_id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    job_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("jobs.job_id", ondelete="CASCADE"))
    task: Mapped[str]
    purpose: Mapped[str]
    model_version_ids: Mapped[list[int]] = mapped_column(
        ARRAY(BigInteger), comment="ascending: whose scores the rows lack"
    )
    created_at: Mapped[datetime]
    planned_at: Mapped[datetime | None] = mapped_column(
        comment="when all of its shards were there; NULL: they are being planned"
    )
    n_elsewhere: Mapped[int] = mapped_column(
        server_default="0", comment="rows that shards of other jobs held when it was planned"
    )
    samples: Mapped[list[Any]] = mapped_column(
        JSONB,
        server_default=text("'[]'::jsonb"),
        comment="[seconds since 1970, rows done] of the last minutes, to tell the pace by",
    )


class Shard(Base):
    """Some rows to score under one lease; ``ready_at`` is as of work items."""

    __tablename__ = "shards"
    __table_args__ = (
        CheckConstraint(f"state IN {SHARD_STATES}", name="state_known"),
        CheckConstraint(f"error_kind IN {ERROR_KINDS}", name="error_kind_known"),
        CheckConstraint("(state IN ('planned', 'leased')) = (ready_at IS NOT NULL)", name="ready"),
        CheckConstraint("(state = 'leased') = (lease_token IS NOT NULL)", name="lease"),
        CheckConstraint("(state = 'failed') <= (error_reason IS NOT NULL)", name="failed_reason"),
        CheckConstraint("n_done BETWEEN 0 AND n_rows", name="progress"),
        Index("ix_shards_scoring_id", "scoring_id", "number"),
        Index(
            "ix_shards_ready", "ready_at", "shard_id", postgresql_where=text("ready_at IS NOT NULL")
        ),
        Index(
            "ix_shards_lease_token",
            "lease_token",
            unique=True,
            postgresql_where=text("lease_token IS NOT NULL"),
        ),
        Index("ix_shards_ended_at", "ended_at"),
    )

    shard_id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    scoring_id: Mapped[int] = mapped_column(ForeignKey("scorings.scoring_id", ondelete="CASCADE"))
    number: Mapped[int] = mapped_column(
        comment="in the order of planning; parts of a split shard keep it"
    )
    is_own: Mapped[bool] = mapped_column(
        comment="rows of the models' own dataset, scored as they were frozen"
    )
    covers: Mapped[list[str]] = mapped_column(
        ARRAY(Text), comment="ids of videos; of the task speech, of clips"
    )
    state: Mapped[str]
    ready_at: Mapped[datetime | None]
    lease_token: Mapped[uuid.UUID | None]
    losses: Mapped[int] = mapped_column(
        server_default="0", comment="times its worker ended without a word, plus the present one"
    )
    failures: Mapped[int] = mapped_column(
        server_default="0", comment="times in a row that it failed without any progress"
    )
    n_rows: Mapped[int]
    n_done: Mapped[int] = mapped_column(server_default="0")
    counts: Mapped[dict[str, Any]] = mapped_column(
        server_default=text("'{}'::jsonb"), comment="what came of it, by a stable word"
    )
    set_aside: Mapped[dict[str, Any]] = mapped_column(
        server_default=text("'{}'::jsonb"), comment="why rows could not be scored, by id"
    )
    error_kind: Mapped[str | None]
    error_reason: Mapped[str | None]
    error_message: Mapped[str | None]
    begun_at: Mapped[datetime | None] = mapped_column(comment="when it was last begun")
    ended_at: Mapped[datetime | None]
