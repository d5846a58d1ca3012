"""Values that cannot be kept are counted: by day and field, with a few of them as examples.

Revision ID: 0026
Revises: 0025
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "odd_values",
        sa.Column("day", sa.Date(), nullable=False, comment="in UTC"),
        sa.Column("field", sa.Text(), nullable=False, comment="in the API's word"),
        sa.Column("items", sa.BigInteger(), nullable=False),
        sa.Column(
            "examples",
            postgresql.JSONB(),
            nullable=False,
            comment="the first eight values, each with how often it came",
        ),
        sa.CheckConstraint("items > 0", name=op.f("ck_odd_values_items_positive")),
        sa.PrimaryKeyConstraint("day", "field", name=op.f("pk_odd_values")),
    )


def downgrade() -> None:
    op.drop_table("odd_values")
