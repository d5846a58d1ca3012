"""Schedules, pauses, breakers and notifications.

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

BEFORE = ("crawl", "train", "score", "compare")
AFTER = (*BEFORE, "retrain", "upkeep")


def upgrade() -> None:
    _jobs()
    _schedules()
    _held_back()
    _notifications()
    _install_defaults()


def downgrade() -> None:
    for table in ("notifications", "breakers", "pauses", "schedule_slots", "schedules"):
        op.drop_table(table)
    op.drop_index("ix_jobs_failed_at", table_name="jobs")
    op.drop_column("jobs", "steps")
    # Models refer to the job that trained them.
    op.execute("UPDATE jobs SET kind = 'train' WHERE kind = 'retrain'")
    op.execute("DELETE FROM jobs WHERE kind = 'upkeep'")
    _job_kinds(BEFORE)


def _jobs() -> None:
    _job_kinds(AFTER)
    op.add_column(
        "jobs",
        sa.Column(
            "steps",
            postgresql.JSONB(),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
            comment="results of the steps that are done, of a job of several; "
            "a retry goes on after",
        ),
    )
    op.create_index(
        "ix_jobs_failed_at",
        "jobs",
        ["finished_at"],
        postgresql_where=sa.text("state = 'failed'"),
    )


def _job_kinds(kinds: tuple[str, ...]) -> None:
    op.drop_constraint(op.f("ck_jobs_kind_known"), "jobs", type_="check")
    op.create_check_constraint(op.f("ck_jobs_kind_known"), "jobs", f"kind IN {kinds}")


def _schedules() -> None:
    op.create_table(
        "schedules",
        sa.Column("schedule_id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column(
            "params", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("cron", sa.Text(), nullable=True, comment="five fields, read in time_zone"),
        sa.Column(
            "interval_s",
            sa.BigInteger(),
            nullable=True,
            comment="seconds that pass, from created_at on",
        ),
        sa.Column("time_zone", sa.Text(), server_default="UTC", nullable=False),
        sa.Column(
            "misfire",
            sa.Text(),
            server_default="run-once",
            nullable=False,
            comment="what becomes of a slot missed by more than the grace",
        ),
        sa.Column("grace_s", sa.BigInteger(), server_default="300", nullable=False),
        sa.Column(
            "next_slot",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="NULL: a dispatcher works it out when it next looks",
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("paused_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("paused_reason", sa.Text(), nullable=True),
        sa.Column("removed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "name ~ '^[a-z0-9][a-z0-9._-]{0,62}$'", name=op.f("ck_schedules_name_form")
        ),
        sa.CheckConstraint(
            "kind IN ('crawl', 'train', 'score', 'compare', 'retrain', 'upkeep')",
            name=op.f("ck_schedules_kind_known"),
        ),
        sa.CheckConstraint(
            "misfire IN ('skip', 'run-once')", name=op.f("ck_schedules_misfire_known")
        ),
        sa.CheckConstraint(
            "(cron IS NULL) <> (interval_s IS NULL)", name=op.f("ck_schedules_one_rhythm")
        ),
        sa.CheckConstraint("interval_s > 0", name=op.f("ck_schedules_interval_positive")),
        sa.CheckConstraint("grace_s >= 0", name=op.f("ck_schedules_grace_not_negative")),
        sa.PrimaryKeyConstraint("schedule_id", name=op.f("pk_schedules")),
    )
    op.create_index(
        "uq_schedules_name_in_use",
        "schedules",
        ["name"],
        unique=True,
        postgresql_where=sa.text("removed_at IS NULL"),
    )
    op.create_table(
        "schedule_slots",
        sa.Column("schedule_id", sa.BigInteger(), nullable=False),
        sa.Column("slot", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column(
            "missed_since",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="the first of the earlier slots that this one stands for as well",
        ),
        sa.Column("job_id", sa.Uuid(), nullable=True),
        sa.CheckConstraint(
            "outcome IN ('fired', 'skipped')", name=op.f("ck_schedule_slots_outcome_known")
        ),
        sa.CheckConstraint(
            "outcome = 'fired' OR job_id IS NULL",
            name=op.f("ck_schedule_slots_skipped_without_job"),
        ),
        sa.CheckConstraint(
            "outcome = 'fired' OR reason IS NOT NULL",
            name=op.f("ck_schedule_slots_skipped_reason"),
        ),
        sa.ForeignKeyConstraint(
            ["job_id"],
            ["jobs.job_id"],
            name=op.f("fk_schedule_slots_job_id_jobs"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["schedule_id"],
            ["schedules.schedule_id"],
            name=op.f("fk_schedule_slots_schedule_id_schedules"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("schedule_id", "slot", name=op.f("pk_schedule_slots")),
    )
    op.create_index("ix_schedule_slots_job_id", "schedule_slots", ["job_id"])


def _held_back() -> None:
    op.create_table(
        "pauses",
        sa.Column("scope", sa.Text(), nullable=False, comment="a queue, or everything"),
        sa.Column("paused_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "scope IN ('everything', 'crawl', 'media', 'learning')",
            name=op.f("ck_pauses_scope_known"),
        ),
        sa.PrimaryKeyConstraint("scope", name=op.f("pk_pauses")),
    )
    op.create_table(
        "breakers",
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="closed", nullable=False),
        sa.Column(
            "failures",
            sa.BigInteger(),
            server_default="0",
            nullable=False,
            comment="batches in a row in which nothing but transient errors came",
        ),
        sa.Column(
            "trips",
            sa.BigInteger(),
            server_default="0",
            nullable=False,
            comment="times it opened since it was last closed: the pause doubles",
        ),
        sa.Column(
            "opened_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when this refusal began",
        ),
        sa.Column(
            "retry_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="open: when a probe may go; "
            "half-open: when a probe without an answer is given up",
        ),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "state IN ('closed', 'open', 'half-open')", name=op.f("ck_breakers_state_known")
        ),
        sa.CheckConstraint(
            "(state = 'closed') = (retry_at IS NULL)", name=op.f("ck_breakers_retry")
        ),
        sa.CheckConstraint(
            "(state = 'closed') = (opened_at IS NULL)", name=op.f("ck_breakers_opened")
        ),
        sa.CheckConstraint("failures >= 0 AND trips >= 0", name=op.f("ck_breakers_counts")),
        sa.PrimaryKeyConstraint("host", name=op.f("pk_breakers")),
    )


def _notifications() -> None:
    op.create_table(
        "notifications",
        sa.Column("notification_id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column(
            "key",
            sa.Text(),
            nullable=False,
            comment="names the event; a repeated one finds it taken",
        ),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("payload", postgresql.JSONB(), nullable=False),
        sa.Column("state", sa.Text(), server_default="due", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ready_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "state IN ('due', 'sent', 'failed')", name=op.f("ck_notifications_state_known")
        ),
        sa.CheckConstraint(
            "target IN ('webhook', 'command')", name=op.f("ck_notifications_target_known")
        ),
        sa.CheckConstraint(
            "(state = 'due') = (ready_at IS NOT NULL)", name=op.f("ck_notifications_ready")
        ),
        sa.CheckConstraint(
            "(state = 'sent') = (sent_at IS NOT NULL)", name=op.f("ck_notifications_sent")
        ),
        sa.PrimaryKeyConstraint("notification_id", name=op.f("pk_notifications")),
        sa.UniqueConstraint("key", "target", name=op.f("uq_notifications_key_target")),
    )
    op.create_index(
        "ix_notifications_ready_at",
        "notifications",
        ["ready_at"],
        postgresql_where=sa.text("ready_at IS NOT NULL"),
    )


def _install_defaults() -> None:
    """Install what every installation wants, once: a removed one stays removed."""
    op.execute(
        """
        INSERT INTO schedules (name, kind, cron, created_at) VALUES
            ('nightly-retraining', 'retrain', '30 3 * * *', now()),
            ('weekly-upkeep', 'upkeep', '15 4 * * SUN', now())
        """
    )
