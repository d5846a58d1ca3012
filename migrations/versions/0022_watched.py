"""Watched is a state of its own: what was only imported is not crawled.

A crawl of everything made work of imported channels too, and called them gone. A channel counts as
watched if it has work of a channel; whatever was imported and crawled since goes on being crawled.

Revision ID: 0022
Revises: 0021
"""

import sqlalchemy as sa
from alembic import op

from db.ddl import patiently

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

UNWATCHED = """
    UPDATE channels SET watched = false WHERE NOT EXISTS (
        SELECT FROM work_items w
        WHERE w.kind IN ('channel.discover', 'channel.snapshot')
          AND w.entity_id = channels.channel_id
    )
"""


def upgrade() -> None:
    patiently(op.get_bind(), _add)
    op.execute(UNWATCHED)


def downgrade() -> None:
    patiently(op.get_bind(), lambda: op.drop_column("channels", "watched"))


def _add() -> None:
    # A default that is constant rewrites nothing.
    op.add_column(
        "channels",
        sa.Column(
            "watched",
            sa.Boolean(),
            server_default=sa.text("true"),
            nullable=False,
            comment="crawled from now on; false: imported and left alone",
        ),
    )
