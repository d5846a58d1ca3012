"""Thumbnail history, approvals and retention.

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op

from db.views import view_sql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("thumbnails", sa.Column("perceptual_hash", sa.BigInteger(), nullable=True))
    op.add_column(
        "thumbnails",
        sa.Column(
            "purged_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when its bytes were removed; the row stays for the history",
        ),
    )
    op.add_column(
        "video_thumbnails",
        sa.Column(
            "seen_sha256",
            sa.Text(),
            nullable=True,
            comment="the same picture in other bytes, as seen last; those bytes are not kept",
        ),
    )
    op.create_check_constraint(
        op.f("ck_video_thumbnails_seen_sha256_form"),
        "video_thumbnails",
        "seen_sha256 ~ '^[0-9a-f]{64}$'",
    )
    op.add_column(
        "videos",
        sa.Column(
            "source",
            sa.Text(),
            server_default="crawl",
            nullable=False,
            comment="how it became known: by a crawl or an import",
        ),
    )
    op.create_check_constraint(
        op.f("ck_videos_source_known"), "videos", "source IN ('crawl', 'import')"
    )
    _approvals()
    _exports()
    op.execute(view_sql("thumbnail_changes", 1))


def downgrade() -> None:
    op.execute("DROP VIEW thumbnail_changes")
    op.execute("DROP FUNCTION view_count_redefined")
    op.execute("DROP FUNCTION views_at")
    op.drop_table("exports")
    op.drop_table("approvals")
    op.drop_column("videos", "source")
    op.drop_column("video_thumbnails", "seen_sha256")
    op.drop_column("thumbnails", "purged_at")
    op.drop_column("thumbnails", "perceptual_hash")


def _approvals() -> None:
    op.create_table(
        "approvals",
        sa.Column("approval_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column(
            "reference", sa.Text(), nullable=False, comment="of the letter, ticket or contract"
        ),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column(
            "channel_id",
            sa.Text(),
            nullable=True,
            comment="the one channel it speaks of; NULL: all. It need not be watched yet",
        ),
        sa.Column("granted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "expires_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="NULL: until it is revoked",
        ),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("expires_at > granted_at", name=op.f("ck_approvals_expires_later")),
        sa.CheckConstraint("reference <> ''", name=op.f("ck_approvals_reference_given")),
        sa.CheckConstraint(
            "scope IN ('statistics', 'thumbnails', 'audio')", name=op.f("ck_approvals_scope_known")
        ),
        sa.CheckConstraint(
            "channel_id ~ '^UC[A-Za-z0-9_-]{22}$'", name=op.f("ck_approvals_channel_id_form")
        ),
        sa.PrimaryKeyConstraint("approval_id", name=op.f("pk_approvals")),
    )
    op.create_index(
        "uq_approvals_in_force",
        "approvals",
        ["reference", "scope", "channel_id"],
        unique=True,
        postgresql_where=sa.text("revoked_at IS NULL"),
        postgresql_nulls_not_distinct=True,
    )


def _exports() -> None:
    op.create_table(
        "exports",
        sa.Column("export_id", sa.Uuid(), nullable=False),
        sa.Column("directory", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False, comment="the machine it was written on"),
        sa.Column("manifest_sha256", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "oldest_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="when the oldest statistic in it was read; what terms count from",
        ),
        sa.Column("purged_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "manifest_sha256 ~ '^[0-9a-f]{64}$'", name=op.f("ck_exports_sha256_form")
        ),
        sa.PrimaryKeyConstraint("export_id", name=op.f("pk_exports")),
    )
