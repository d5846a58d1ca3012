"""What runs by itself and what is held back: schedules, pauses, breakers, notifications."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Identity, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base
from db.models.work import JOB_KIND_PATTERN, WORK_KIND_PATTERN

MISFIRE_POLICIES = ("skip", "run-once")
SLOT_OUTCOMES = ("fired", "skipped")
PAUSE_SCOPE_PATTERN = "^[a-z]+$"
BREAKER_STATES = ("closed", "open", "half-open")
NOTIFICATION_STATES = ("due", "sent", "failed")
NOTIFICATION_TARGETS = ("webhook", "command")


class Schedule(Base):
    """A kind of job that is asked for again and again, by cron or by interval.

    A removed one stays as a row: what it fired refers to it, and what was installed by default
    and removed does not come back.
    """

    __tablename__ = "schedules"
    __table_args__ = (
        CheckConstraint("name ~ '^[a-z0-9][a-z0-9._-]{0,62}$'", name="name_form"),
        CheckConstraint(f"kind ~ '{JOB_KIND_PATTERN}'", name="kind_form"),
        CheckConstraint(f"misfire IN {MISFIRE_POLICIES}", name="misfire_known"),
        CheckConstraint("(cron IS NULL) <> (interval_s IS NULL)", name="one_trigger"),
        CheckConstraint("interval_s > 0", name="interval_positive"),
        CheckConstraint("grace_s >= 0", name="grace_not_negative"),
        Index(
            "uq_schedules_name_in_use",
            "name",
            unique=True,
            postgresql_where=text("removed_at IS NULL"),
        ),
    )

    schedule_id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    name: Mapped[str]
    kind: Mapped[str]
    params: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    cron: Mapped[str | None] = mapped_column(comment="five fields, read in time_zone")
    interval_s: Mapped[int | None] = mapped_column(comment="seconds that pass, from created_at on")
    time_zone: Mapped[str] = mapped_column(server_default="UTC")
    misfire: Mapped[str] = mapped_column(
        server_default="run-once", comment="what becomes of a slot missed by more than the grace"
    )
    grace_s: Mapped[int] = mapped_column(server_default="300")
    next_slot: Mapped[datetime | None] = mapped_column(
        comment="NULL: a dispatcher works it out when it next looks"
    )
    created_at: Mapped[datetime]
    paused_at: Mapped[datetime | None]
    paused_reason: Mapped[str | None]
    removed_at: Mapped[datetime | None]


class ScheduleSlot(Base):
    """A moment a schedule was due at, and what came of it: exactly one row, one job at most."""

    __tablename__ = "schedule_slots"
    __table_args__ = (
        CheckConstraint(f"outcome IN {SLOT_OUTCOMES}", name="outcome_known"),
        CheckConstraint("outcome = 'fired' OR job_id IS NULL", name="skipped_without_job"),
        CheckConstraint("outcome = 'fired' OR reason IS NOT NULL", name="skipped_reason"),
        Index("ix_schedule_slots_job_id", "job_id"),
    )

    schedule_id: Mapped[int] = mapped_column(
        ForeignKey("schedules.schedule_id", ondelete="CASCADE"), primary_key=True
    )
    slot: Mapped[datetime] = mapped_column(primary_key=True)
    decided_at: Mapped[datetime]
    outcome: Mapped[str]
    reason: Mapped[str | None]
    missed_since: Mapped[datetime | None] = mapped_column(
        comment="the first of the earlier slots that this one stands for as well"
    )
    job_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("jobs.job_id", ondelete="SET NULL"))


class Pause(Base):
    """Nothing of this scope is claimed while the row is there; what runs finishes."""

    __tablename__ = "pauses"
    __table_args__ = (CheckConstraint(f"scope ~ '{PAUSE_SCOPE_PATTERN}'", name="scope_form"),)

    scope: Mapped[str] = mapped_column(primary_key=True, comment="a queue, or everything")
    paused_at: Mapped[datetime]
    reason: Mapped[str | None]


class EndedPause(Base):
    """A pause that was lifted: why nothing was collected then."""

    __tablename__ = "ended_pauses"
    __table_args__ = (
        CheckConstraint(f"scope ~ '{PAUSE_SCOPE_PATTERN}'", name="scope_form"),
        CheckConstraint("lifted_at >= paused_at", name="in_order"),
    )

    scope: Mapped[str] = mapped_column(primary_key=True)
    paused_at: Mapped[datetime] = mapped_column(primary_key=True)
    lifted_at: Mapped[datetime]


class Breaker(Base):
    """Whether a host is asked at the moment; shared by all workers. No row: closed."""

    __tablename__ = "breakers"
    __table_args__ = (
        CheckConstraint(f"state IN {BREAKER_STATES}", name="state_known"),
        CheckConstraint("(state = 'closed') = (retry_at IS NULL)", name="retry"),
        CheckConstraint("(state = 'closed') = (opened_at IS NULL)", name="opened"),
        CheckConstraint("failures >= 0 AND trips >= 0", name="counts"),
    )

    host: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[str] = mapped_column(server_default="closed")
    failures: Mapped[int] = mapped_column(
        server_default="0", comment="batches in a row in which nothing was answered well"
    )
    trips: Mapped[int] = mapped_column(
        server_default="0", comment="times it opened since it was last closed: the pause doubles"
    )
    opened_at: Mapped[datetime | None] = mapped_column(comment="when this refusal began")
    retry_at: Mapped[datetime | None] = mapped_column(
        comment="open: when a probe may go; half-open: when a probe without an answer is given up"
    )
    reason: Mapped[str | None]
    message: Mapped[str | None]
    changed_at: Mapped[datetime]


class GoodAnswer(Base):
    """When work of a kind last was answered well: evidence for what is heard of other items."""

    __tablename__ = "good_answers"
    __table_args__ = (CheckConstraint(f"kind ~ '{WORK_KIND_PATTERN}'", name="kind_form"),)

    kind: Mapped[str] = mapped_column(primary_key=True)
    answered_at: Mapped[datetime] = mapped_column(
        comment="when the batch was begun that was answered; to the minute"
    )


class Notification(Base):
    """One event to tell one target about, once."""

    __tablename__ = "notifications"
    __table_args__ = (
        UniqueConstraint("key", "target"),
        CheckConstraint(f"state IN {NOTIFICATION_STATES}", name="state_known"),
        CheckConstraint(f"target IN {NOTIFICATION_TARGETS}", name="target_known"),
        CheckConstraint("(state = 'due') = (ready_at IS NOT NULL)", name="ready"),
        CheckConstraint("(state = 'sent') = (sent_at IS NOT NULL)", name="sent"),
        Index(
            "ix_notifications_ready_at",
            "ready_at",
            postgresql_where=text("ready_at IS NOT NULL"),
        ),
    )

    notification_id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    key: Mapped[str] = mapped_column(comment="names the event; a repeated one finds it taken")
    target: Mapped[str]
    event: Mapped[str]
    payload: Mapped[dict[str, Any]]
    state: Mapped[str] = mapped_column(server_default="due")
    created_at: Mapped[datetime]
    ready_at: Mapped[datetime | None]
    attempts: Mapped[int] = mapped_column(server_default="0")
    sent_at: Mapped[datetime | None]
    error_message: Mapped[str | None]
