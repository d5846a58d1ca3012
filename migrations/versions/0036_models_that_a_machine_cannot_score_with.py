"""What a worker's machine lacks is noted with the models that it lacks it for.

Revision ID: 0036
Revises: 0035
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from db.ddl import patiently

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None


def upgrade() -> None:
    patiently(op.get_bind(), _add)


def downgrade() -> None:
    op.drop_column("worker_processes", "unfit_models")


def _add() -> None:
    op.add_column(
        "worker_processes",
        sa.Column(
            "unfit_models",
            postgresql.ARRAY(sa.BigInteger()),
            comment="the models that it lacks that for; NULL: whatever it is to do",
        ),
    )
