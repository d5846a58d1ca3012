"""Tokens of the HTTP API, of which only the hash is kept; jobs remember by which key they came.

Analysts do not read tokens: who asks by the API is to learn of no other's.

Revision ID: 0034
Revises: 0033
"""

import sqlalchemy as sa
from alembic import op

from db.ddl import patiently

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None

ANALYST = "tubegrader_analyst"


def upgrade() -> None:
    patiently(op.get_bind(), _remember)
    op.create_table(
        "api_tokens",
        sa.Column("api_token_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("name", sa.Text(), nullable=False, comment="one in force of each name"),
        sa.Column(
            "sha256", sa.Text(), nullable=False, comment="of the token, which is 256 random bits"
        ),
        sa.Column("scope", sa.Text(), nullable=False, comment="the widest that it has"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True, comment="NULL: never"),
        sa.Column(
            "used_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when it was last used, to the hour; NULL: never",
        ),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("name <> ''", name=op.f("ck_api_tokens_name_given")),
        sa.CheckConstraint(
            "scope IN ('read', 'operate', 'admin')", name=op.f("ck_api_tokens_scope_known")
        ),
        sa.CheckConstraint("sha256 ~ '^[0-9a-f]{64}$'", name=op.f("ck_api_tokens_sha256_form")),
        sa.PrimaryKeyConstraint("api_token_id", name=op.f("pk_api_tokens")),
    )
    op.create_index("ix_api_tokens_sha256", "api_tokens", ["sha256"], unique=True)
    op.create_index(
        "ix_api_tokens_name",
        "api_tokens",
        ["name"],
        unique=True,
        postgresql_where=sa.text("revoked_at IS NULL"),
    )
    op.execute(
        f"""
        DO $$ BEGIN
            IF EXISTS (SELECT FROM pg_roles WHERE rolname = '{ANALYST}') THEN
                REVOKE ALL ON api_tokens FROM {ANALYST};
            END IF;
        END $$
        """
    )


def downgrade() -> None:
    op.drop_table("api_tokens")
    patiently(op.get_bind(), _forget)


def _remember() -> None:
    op.add_column(
        "jobs",
        sa.Column(
            "submission_key",
            sa.Text(),
            nullable=True,
            comment="who asked for it and by which key: asking again by it makes no second job",
        ),
    )
    op.add_column(
        "jobs",
        sa.Column(
            "submission_sha256",
            sa.Text(),
            nullable=True,
            comment="of what was asked for by it",
        ),
    )
    op.create_check_constraint(
        op.f("ck_jobs_submission"),
        "jobs",
        "(submission_key IS NULL) = (submission_sha256 IS NULL)",
    )
    # Not concurrently: jobs are kept for a year, and none has a key yet.
    op.create_index(
        "ix_jobs_submission_key",
        "jobs",
        ["submission_key"],
        unique=True,
        postgresql_where=sa.text("submission_key IS NOT NULL"),
    )
    # The digest of a night is looked for each few seconds.
    op.create_index(
        "ix_jobs_retrained_at",
        "jobs",
        ["finished_at"],
        postgresql_where=sa.text("kind = 'retrain'"),
    )


def _forget() -> None:
    op.drop_index("ix_jobs_retrained_at", table_name="jobs")
    op.drop_column("jobs", "submission_sha256")
    op.drop_column("jobs", "submission_key")
