"""What is due is found by index, however much is paused, later or under lease.

Items of paused channels leave the index that claims look in, and what is under lease has one of
its own: neither is waded through once a second.

Revision ID: 0017
Revises: 0016
"""

import sqlalchemy as sa
from alembic import op

from db.ddl import drop_concurrently, index_concurrently

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_DUE = "ON work_items (kind, ready_at) WHERE ready_at IS NOT NULL"


def upgrade() -> None:
    # Each statement for itself, and again where it was broken off.
    with op.get_context().autocommit_block():
        connection = op.get_bind()
        paused = "SELECT channel_id FROM channels WHERE paused_at IS NOT NULL ORDER BY 1"
        for (channel_id,) in connection.execute(sa.text(paused)).all():
            connection.execute(
                sa.text(
                    "UPDATE work_items SET is_held = true "
                    "WHERE channel_id = :channel_id AND NOT is_held AND state <> 'leased'"
                ),
                {"channel_id": channel_id},
            )
        index_concurrently(
            connection,
            "ix_work_items_leased",
            "ON work_items (kind, ready_at) WHERE state = 'leased'",
        )
        index_concurrently(connection, "ix_work_items_ready", f"{_DUE} AND NOT is_held")
        drop_concurrently(connection, "ix_work_items_kind_ready_at")


def downgrade() -> None:
    with op.get_context().autocommit_block():
        index_concurrently(op.get_bind(), "ix_work_items_kind_ready_at", _DUE)
        drop_concurrently(op.get_bind(), "ix_work_items_ready")
        drop_concurrently(op.get_bind(), "ix_work_items_leased")
