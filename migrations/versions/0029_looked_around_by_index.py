"""People look around by index: channels by title, videos by words of a title.

Revision ID: 0029
Revises: 0028
"""

from alembic import op

from db.ddl import drop_concurrently, index_concurrently

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

INDEXES = {
    "ix_videos_title_words": "ON videos USING gin (to_tsvector('simple', coalesce(title, '')))",
    "ix_channels_title": "ON channels (coalesce(title, ''), channel_id)",
}


def upgrade() -> None:
    with op.get_context().autocommit_block():
        for name, definition in INDEXES.items():
            index_concurrently(op.get_bind(), name, definition)


def downgrade() -> None:
    with op.get_context().autocommit_block():
        for name in INDEXES:
            drop_concurrently(op.get_bind(), name)
