"""When work was last handed out, and what upkeep last found that the cadence will cost.

An office keeps its row when its holder leaves: how long ago anybody did its work is to be seen then
most of all.

Revision ID: 0040
Revises: 0037
"""

import sqlalchemy as sa
from alembic import op

from db.ddl import patiently

revision = "0040"
down_revision = "0039"
branch_labels = None
depends_on = None


def upgrade() -> None:
    patiently(op.get_bind(), _remember)
    op.create_table(
        "quota_plans",
        sa.Column("bucket", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("units", sa.BigInteger(), nullable=False, comment="of the 24 hours after it"),
        sa.Column("planned_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("units >= 0", name=op.f("ck_quota_plans_units_not_negative")),
        sa.CheckConstraint(
            "purpose IN ('discovery', 'statistics', 'adHoc')",
            name=op.f("ck_quota_plans_purpose_known"),
        ),
        sa.PrimaryKeyConstraint("bucket", "purpose", name=op.f("pk_quota_plans")),
    )


def downgrade() -> None:
    op.drop_table("quota_plans")
    patiently(op.get_bind(), _forget)


def _remember() -> None:
    op.add_column(
        "elections",
        sa.Column(
            "done_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when whoever held it last did what it is for; NULL: never",
        ),
    )


def _forget() -> None:
    op.drop_column("elections", "done_at")
