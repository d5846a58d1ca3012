"""Whether a video is live may be unknown: YouTube said it in a word that is new to us.

Revision ID: 0030
Revises: 0029
"""

import sqlalchemy as sa
from alembic import op

from db.ddl import lock_views, patiently

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

COMMENT = (
    "none, upcoming or live; none also until first refreshed; NULL: YouTube said something else, "
    "so that it is not known"
)


def upgrade() -> None:
    _alter(nullable=True, comment=COMMENT)


def downgrade() -> None:
    # As an earlier release would have kept it of a video that is new.
    op.execute(
        "UPDATE videos SET live_broadcast_content = 'none' WHERE live_broadcast_content IS NULL"
    )
    _alter(nullable=False, comment=None)


def _alter(*, nullable: bool, comment: str | None) -> None:
    def change() -> None:
        lock_views(op.get_bind())
        op.alter_column(
            "videos",
            "live_broadcast_content",
            nullable=nullable,
            comment=comment,
            existing_type=sa.Text(),
            existing_server_default="none",
        )

    patiently(op.get_bind(), change)
