"""Durable intent: what is due, what is leased, what failed and why; and the quota ledger."""

import uuid
from datetime import date, datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, ChannelId

WORK_KIND_PATTERN = r"^(channel|video)\.[a-z]+$"
"""By form, not by a list: which kinds there are is declared once, by the services that do them."""
JOB_KIND_PATTERN = "^[a-z]+$"
WORK_STATES = ("idle", "due", "leased", "failed")
ERROR_KINDS = ("permanent", "transient", "quota", "blocked")
JOB_STATES = ("queued", "running", "succeeded", "failed", "cancelled")
QUOTA_PURPOSES = ("discovery", "statistics", "adHoc")


class WorkItem(Base):
    """One thing that is collected again and again: a kind of work on one channel or video.

    ``slot`` is the moment the work is due for; its effect is unique on (entity, slot).
    ``ready_at`` is when a dispatcher may claim it: the slot, later after a failure, and the
    lease's end while it is leased, so that an expired lease is ready again by itself.
    """

    __tablename__ = "work_items"
    __table_args__ = (
        CheckConstraint(f"kind ~ '{WORK_KIND_PATTERN}'", name="kind_form"),
        CheckConstraint(f"state IN {WORK_STATES}", name="state_known"),
        CheckConstraint(f"error_kind IN {ERROR_KINDS}", name="error_kind_known"),
        CheckConstraint("(state IN ('due', 'leased')) = (ready_at IS NOT NULL)", name="ready"),
        CheckConstraint("(state = 'leased') = (lease_token IS NOT NULL)", name="lease"),
        CheckConstraint("(state = 'idle') = (slot IS NULL)", name="slot"),
        CheckConstraint("(error_kind IS NULL) = (error_reason IS NULL)", name="error"),
        CheckConstraint("state <> 'failed' OR error_reason IS NOT NULL", name="failed_reason"),
        Index(
            "ix_work_items_ready",
            "kind",
            "ready_at",
            postgresql_where=text("ready_at IS NOT NULL AND NOT is_held"),
        ),
        Index(
            "ix_work_items_leased",
            "kind",
            "ready_at",
            postgresql_where=text("state = 'leased'"),
        ),
        # What is not ready although its slot may have come: leased, failed, put off.
        Index(
            "ix_work_items_held_back",
            "slot",
            postgresql_where=text("slot IS NOT NULL AND (ready_at IS NULL OR ready_at > slot)"),
        ),
        Index("ix_work_items_held", "slot", postgresql_where=text("is_held")),
        Index(
            "ix_work_items_lease_token",
            "lease_token",
            postgresql_where=text("lease_token IS NOT NULL"),
        ),
        Index("ix_work_items_channel_id", "channel_id"),
        Index(
            "ix_work_items_kind_error_reason",
            "kind",
            "error_reason",
            postgresql_where=text("state = 'failed'"),
        ),
    )

    kind: Mapped[str] = mapped_column(primary_key=True)
    entity_id: Mapped[str] = mapped_column(primary_key=True, comment="channel or video id")
    channel_id: Mapped[ChannelId] = mapped_column(
        ForeignKey("channels.channel_id", ondelete="CASCADE")
    )
    state: Mapped[str]
    slot: Mapped[datetime | None]
    ready_at: Mapped[datetime | None]
    lease_token: Mapped[uuid.UUID | None]
    attempts: Mapped[int] = mapped_column(server_default="0", comment="times a worker began it")
    interval_s: Mapped[int | None] = mapped_column(
        comment="how long after the slot the next one falls due; NULL before the first"
    )
    done_at: Mapped[datetime | None] = mapped_column(comment="when it last succeeded")
    is_held: Mapped[bool] = mapped_column(
        server_default=text("false"), comment="its channel is paused: nobody looks at it"
    )
    error_kind: Mapped[str | None]
    error_reason: Mapped[str | None]
    error_message: Mapped[str | None]
    error_at: Mapped[datetime | None]
    doubted_at: Mapped[datetime | None] = mapped_column(
        comment="when the verdict now in doubt was first heard; NULL after a success"
    )


class MissedSlot(Base):
    """Slots in a row that passed without being collected, noted when the item went on after them.

    Nothing is written while all goes well; what is missing now follows from ``work_items``.
    """

    __tablename__ = "missed_slots"
    __table_args__ = (
        CheckConstraint("last_slot >= first_slot", name="in_order"),
        CheckConstraint("interval_s > 0", name="interval_positive"),
        Index("ix_missed_slots_channel_id", "channel_id"),
    )

    kind: Mapped[str] = mapped_column(primary_key=True)
    entity_id: Mapped[str] = mapped_column(primary_key=True, comment="channel or video id")
    first_slot: Mapped[datetime] = mapped_column(primary_key=True)
    channel_id: Mapped[ChannelId] = mapped_column(
        ForeignKey("channels.channel_id", ondelete="CASCADE")
    )
    last_slot: Mapped[datetime]
    interval_s: Mapped[int] = mapped_column(comment="from one slot to the next")
    reason: Mapped[str] = mapped_column(comment="why nothing was collected meanwhile")
    noted_at: Mapped[datetime]


class Job(Base):
    """Something a user or a schedule asked for, with its progress and its end."""

    __tablename__ = "jobs"
    __table_args__ = (
        CheckConstraint(f"kind ~ '{JOB_KIND_PATTERN}'", name="kind_form"),
        CheckConstraint(f"state IN {JOB_STATES}", name="state_known"),
        CheckConstraint(f"error_kind IN {ERROR_KINDS}", name="error_kind_known"),
        CheckConstraint("(state IN ('queued', 'running')) = (ready_at IS NOT NULL)", name="ready"),
        CheckConstraint("(state = 'running') = (lease_token IS NOT NULL)", name="lease"),
        CheckConstraint(
            "(state IN ('succeeded', 'failed', 'cancelled')) = (finished_at IS NOT NULL)",
            name="finished",
        ),
        CheckConstraint("state <> 'failed' OR error_reason IS NOT NULL", name="failed_reason"),
        CheckConstraint("progress_done >= 0 AND progress_total >= 0", name="progress"),
        Index("ix_jobs_ready_at", "ready_at", postgresql_where=text("ready_at IS NOT NULL")),
        Index("ix_jobs_created_at", "created_at"),
        Index("ix_jobs_failed_at", "finished_at", postgresql_where=text("state = 'failed'")),
        Index("ix_jobs_retrained_at", "finished_at", postgresql_where=text("kind = 'retrain'")),
        CheckConstraint(
            "(submission_key IS NULL) = (submission_sha256 IS NULL)", name="submission"
        ),
        Index(
            "ix_jobs_submission_key",
            "submission_key",
            unique=True,
            postgresql_where=text("submission_key IS NOT NULL"),
        ),
    )

    job_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    kind: Mapped[str]
    params: Mapped[dict[str, Any]]
    state: Mapped[str]
    ready_at: Mapped[datetime | None]
    lease_token: Mapped[uuid.UUID | None]
    attempts: Mapped[int] = mapped_column(server_default="0")
    cancel_requested: Mapped[bool] = mapped_column(server_default=text("false"))
    progress_done: Mapped[int] = mapped_column(server_default="0")
    progress_total: Mapped[int] = mapped_column(server_default="0", comment="0 = not known yet")
    progress_message: Mapped[str | None]
    waiting_until: Mapped[datetime | None] = mapped_column(
        comment="set while nothing can be done before this moment; the message says why"
    )
    awaits_shards: Mapped[bool] = mapped_column(
        server_default=text("false"),
        comment="running without a worker of its own, until its shards have ended",
    )
    paused_at: Mapped[datetime | None] = mapped_column(
        comment="since when nothing of it is begun; NULL: it is not paused"
    )
    steps: Mapped[dict[str, Any]] = mapped_column(
        server_default=text("'{}'::jsonb"),
        comment="results of the steps that are done, of a job of several; a retry goes on after",
    )
    result: Mapped[dict[str, Any] | None]
    error_kind: Mapped[str | None]
    error_reason: Mapped[str | None]
    error_message: Mapped[str | None]
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    submission_key: Mapped[str | None] = mapped_column(
        comment="who asked for it and by which key: asking again by it makes no second job"
    )
    submission_sha256: Mapped[str | None] = mapped_column(comment="of what was asked for by it")


class OddValue(Base):
    """How often on a day a field came with a value that cannot be kept, and a few such values."""

    __tablename__ = "odd_values"
    __table_args__ = (CheckConstraint("items > 0", name="items_positive"),)

    day: Mapped[date] = mapped_column(primary_key=True, comment="in UTC")
    field: Mapped[str] = mapped_column(primary_key=True, comment="in the API's word")
    items: Mapped[int]
    examples: Mapped[dict[str, Any]] = mapped_column(
        comment="the first eight values, each with how often it came"
    )


class CrawlPart(Base):
    """Some neighbouring channels of a crawl job, and how far their work was when last counted."""

    __tablename__ = "crawl_parts"
    __table_args__ = (
        CheckConstraint("first >= 0 AND channels >= 1", name="some_channels"),
        CheckConstraint("least(total, done, failed, in_doubt) >= 0", name="counts"),
    )

    job_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("jobs.job_id", ondelete="CASCADE"), primary_key=True
    )
    first: Mapped[int] = mapped_column(
        primary_key=True, comment="place of its first channel among those that the job names"
    )
    channels: Mapped[int]
    total: Mapped[int] = mapped_column(server_default="0", comment="work items")
    done: Mapped[int] = mapped_column(server_default="0")
    failed: Mapped[int] = mapped_column(server_default="0")
    in_doubt: Mapped[int] = mapped_column(server_default="0")
    is_over: Mapped[bool] = mapped_column(
        server_default=text("false"), comment="nothing was left to do; it is not counted again"
    )
    counted_at: Mapped[datetime | None]
    waiting_until: Mapped[datetime | None] = mapped_column(
        comment="when the first of what is left is ready; NULL: some is ready or under way"
    )
    waiting_kind: Mapped[str | None]
    waiting_reason: Mapped[str | None]
    waiting_message: Mapped[str | None]


class QuotaPlan(Base):
    """What the cadence will cost in a day, as upkeep last found: a bucket and purpose each."""

    __tablename__ = "quota_plans"
    __table_args__ = (
        CheckConstraint("units >= 0", name="units_not_negative"),
        CheckConstraint(f"purpose IN {QUOTA_PURPOSES}", name="purpose_known"),
    )

    bucket: Mapped[str] = mapped_column(primary_key=True)
    purpose: Mapped[str] = mapped_column(primary_key=True)
    units: Mapped[int] = mapped_column(comment="of the 24 hours after it")
    planned_at: Mapped[datetime]


class QuotaUsage(Base):
    """Units spent of one key's bucket on one Pacific day for a purpose, booked before each call."""

    __tablename__ = "quota_usage"
    __table_args__ = (
        CheckConstraint("units >= 0", name="units_not_negative"),
        CheckConstraint(f"purpose IN {QUOTA_PURPOSES}", name="purpose_known"),
    )

    key_fingerprint: Mapped[str] = mapped_column(
        primary_key=True, comment="start of the SHA-256 of the API key; the key is never stored"
    )
    bucket: Mapped[str] = mapped_column(primary_key=True)
    pacific_day: Mapped[date] = mapped_column(primary_key=True)
    purpose: Mapped[str] = mapped_column(primary_key=True)
    units: Mapped[int]
    exhausted_at: Mapped[datetime | None] = mapped_column(
        comment="when YouTube itself said that the quota is used up"
    )
