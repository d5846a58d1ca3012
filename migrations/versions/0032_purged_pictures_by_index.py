"""Whether a picture's bytes were removed is looked up among those whose were.

Revision ID: 0032
Revises: 0031
"""

from alembic import op

from db.ddl import drop_concurrently, index_concurrently

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

NAME = "ix_thumbnails_purged"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        index_concurrently(
            op.get_bind(), NAME, "ON thumbnails (thumbnail_sha256) WHERE purged_at IS NOT NULL"
        )


def downgrade() -> None:
    with op.get_context().autocommit_block():
        drop_concurrently(op.get_bind(), NAME)
