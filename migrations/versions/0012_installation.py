"""The installation's id: which database and which object store belong together.

Revision ID: 0012
Revises: 0011
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "installation",
        sa.Column(
            "is_only", sa.Boolean(), server_default="true", nullable=False, comment="one row"
        ),
        sa.Column(
            "installation_id",
            sa.Uuid(),
            server_default=sa.text("gen_random_uuid()"),
            nullable=False,
            comment="written into the object store, too; what deletes objects compares both",
        ),
        sa.Column(
            "made_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.CheckConstraint("is_only", name=op.f("ck_installation_one_row")),
        sa.PrimaryKeyConstraint("is_only", name=op.f("pk_installation")),
    )
    op.execute("INSERT INTO installation DEFAULT VALUES")


def downgrade() -> None:
    op.drop_table("installation")
