"""Upkeep: pauses of queues are remembered, so that gaps can name them.

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op

from db.views import view_sql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

SCOPES = "('everything', 'crawl', 'media', 'learning')"


def upgrade() -> None:
    op.create_table(
        "ended_pauses",
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("paused_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lifted_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(f"scope IN {SCOPES}", name=op.f("ck_ended_pauses_scope_known")),
        sa.CheckConstraint("lifted_at >= paused_at", name=op.f("ck_ended_pauses_in_order")),
        sa.PrimaryKeyConstraint("scope", "paused_at", name=op.f("pk_ended_pauses")),
    )
    _gaps(2)


def downgrade() -> None:
    _gaps(1)
    op.drop_table("ended_pauses")


def _gaps(version: int) -> None:
    op.execute("DROP VIEW completeness_gaps")
    op.execute(view_sql("completeness_gaps", version))
