"""Scoring is cut into shards, which any number of workers do at once.

A job that waits for its shards holds no worker, and can be paused. Videos get an index by which the
newest ones are found first.

Revision ID: 0027
Revises: 0026
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from db.ddl import drop_concurrently, index_concurrently, patiently

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

NEWEST_FIRST = "ix_videos_published_at_video_id"


def upgrade() -> None:
    # First, by itself: it is made anew where it was broken off.
    with op.get_context().autocommit_block():
        index_concurrently(op.get_bind(), NEWEST_FIRST, "ON videos (published_at, video_id)")
    patiently(op.get_bind(), _add)
    _make_tables()


def downgrade() -> None:
    with op.get_context().autocommit_block():
        drop_concurrently(op.get_bind(), NEWEST_FIRST)
    op.drop_table("shards")
    op.drop_table("scorings")
    # Nobody is left who would give it a worker again: whoever takes it plans it anew.
    op.execute("UPDATE jobs SET ready_at = now() WHERE awaits_shards")
    patiently(op.get_bind(), _remove)


def _add() -> None:
    # A default that is constant rewrites nothing.
    op.add_column(
        "jobs",
        sa.Column(
            "awaits_shards",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="running without a worker of its own, until its shards have ended",
        ),
    )
    op.add_column(
        "jobs",
        sa.Column(
            "paused_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="since when nothing of it is begun; NULL: it is not paused",
        ),
    )


def _remove() -> None:
    op.drop_column("jobs", "paused_at")
    op.drop_column("jobs", "awaits_shards")


def _make_tables() -> None:
    op.create_table(
        "scorings",
        sa.Column("scoring_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("task", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column(
            "model_version_ids",
            postgresql.ARRAY(sa.BigInteger()),
            nullable=False,
            comment="ascending: whose scores the rows lack",
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "planned_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when all of its shards were there; NULL: they are being planned",
        ),
        sa.Column(
            "n_elsewhere",
            sa.BigInteger(),
            server_default="0",
            nullable=False,
            comment="rows that shards of other jobs held when it was planned",
        ),
        sa.Column(
            "samples",
            postgresql.JSONB(),
            server_default=sa.text("'[]'::jsonb"),
            nullable=False,
            comment="[seconds since 1970, rows done] of the last minutes, to tell the pace by",
        ),
        sa.CheckConstraint("task IN ('thumbnails', 'speech')", name=op.f("ck_scorings_task_known")),
        sa.CheckConstraint(
            "purpose IN ('newest', 'inUse')", name=op.f("ck_scorings_purpose_known")
        ),
        sa.CheckConstraint("n_elsewhere >= 0", name=op.f("ck_scorings_elsewhere")),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.job_id"], name=op.f("fk_scorings_job_id_jobs"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("scoring_id", name=op.f("pk_scorings")),
        sa.UniqueConstraint("job_id", "purpose", name=op.f("uq_scorings_job_id_purpose")),
    )
    op.create_table(
        "shards",
        sa.Column("shard_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("scoring_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "number",
            sa.BigInteger(),
            nullable=False,
            comment="in the order of planning; parts of a split shard keep it",
        ),
        sa.Column(
            "is_own",
            sa.Boolean(),
            nullable=False,
            comment="rows of the models' own dataset, scored as they were frozen",
        ),
        sa.Column(
            "covers",
            postgresql.ARRAY(sa.Text()),
            nullable=False,
            comment="ids of videos; of the task speech, of clips",
        ),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("ready_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_token", sa.Uuid(), nullable=True),
        sa.Column(
            "losses",
            sa.BigInteger(),
            server_default="0",
            nullable=False,
            comment="times its worker ended without a word, plus the present one",
        ),
        sa.Column(
            "failures",
            sa.BigInteger(),
            server_default="0",
            nullable=False,
            comment="times in a row that it failed without any progress",
        ),
        sa.Column("n_rows", sa.BigInteger(), nullable=False),
        sa.Column("n_done", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column(
            "counts",
            postgresql.JSONB(),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
            comment="what came of it, by a stable word",
        ),
        sa.Column(
            "set_aside",
            postgresql.JSONB(),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
            comment="why rows could not be scored, by id",
        ),
        sa.Column("error_kind", sa.Text(), nullable=True),
        sa.Column("error_reason", sa.Text(), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column(
            "begun_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when it was last begun",
        ),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state IN ('planned', 'leased', 'done', 'split', 'failed', 'cancelled')",
            name=op.f("ck_shards_state_known"),
        ),
        sa.CheckConstraint(
            "error_kind IN ('permanent', 'transient', 'quota', 'blocked')",
            name=op.f("ck_shards_error_kind_known"),
        ),
        sa.CheckConstraint(
            "(state IN ('planned', 'leased')) = (ready_at IS NOT NULL)",
            name=op.f("ck_shards_ready"),
        ),
        sa.CheckConstraint(
            "(state = 'leased') = (lease_token IS NOT NULL)", name=op.f("ck_shards_lease")
        ),
        sa.CheckConstraint(
            "(state = 'failed') <= (error_reason IS NOT NULL)",
            name=op.f("ck_shards_failed_reason"),
        ),
        sa.CheckConstraint("n_done BETWEEN 0 AND n_rows", name=op.f("ck_shards_progress")),
        sa.ForeignKeyConstraint(
            ["scoring_id"],
            ["scorings.scoring_id"],
            name=op.f("fk_shards_scoring_id_scorings"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("shard_id", name=op.f("pk_shards")),
    )
    op.create_index(
        "ix_shards_ready",
        "shards",
        ["ready_at", "shard_id"],
        postgresql_where=sa.text("ready_at IS NOT NULL"),
    )
    op.create_index(
        "ix_shards_lease_token",
        "shards",
        ["lease_token"],
        unique=True,
        postgresql_where=sa.text("lease_token IS NOT NULL"),
    )
    op.create_index("ix_shards_scoring_id", "shards", ["scoring_id", "number"])
    op.create_index("ix_shards_ended_at", "shards", ["ended_at"])
