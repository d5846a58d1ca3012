"""A verdict on an item is in doubt until it was heard twice, of a host that answers others well.

Revision ID: 0020
Revises: 0019
"""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

ONLY_TRANSIENT = "batches in a row in which nothing but transient errors came"
NOTHING_WELL = "batches in a row in which nothing was answered well"


def upgrade() -> None:
    op.add_column(
        "work_items",
        sa.Column(
            "doubted_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when the verdict now in doubt was first heard; NULL after a success",
        ),
    )
    op.create_table(
        "good_answers",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column(
            "answered_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="when the batch was begun that was answered; to the minute",
        ),
        sa.CheckConstraint(
            "kind ~ '^(channel|video)\\.[a-z]+$'", name=op.f("ck_good_answers_kind_form")
        ),
        sa.PrimaryKeyConstraint("kind", name=op.f("pk_good_answers")),
    )
    op.alter_column("breakers", "failures", comment=NOTHING_WELL, existing_comment=ONLY_TRANSIENT)


def downgrade() -> None:
    op.alter_column("breakers", "failures", comment=ONLY_TRANSIENT, existing_comment=NOTHING_WELL)
    op.drop_table("good_answers")
    op.drop_column("work_items", "doubted_at")
