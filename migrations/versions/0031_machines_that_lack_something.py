"""A worker whose machine lacks something says what, and takes nothing meanwhile.

Revision ID: 0031
Revises: 0030
"""

import sqlalchemy as sa
from alembic import op

from db.ddl import patiently

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

COLUMNS = ("unfit_reason", "unfit_message", "unfit_until")


def upgrade() -> None:
    patiently(op.get_bind(), _add)


def downgrade() -> None:
    for name in COLUMNS:
        op.drop_column("worker_processes", name)


def _add() -> None:
    op.add_column(
        "worker_processes",
        sa.Column(
            "unfit_reason",
            sa.Text(),
            comment="what its machine lacks for the work it is sent, by a stable word",
        ),
    )
    op.add_column("worker_processes", sa.Column("unfit_message", sa.Text()))
    op.add_column(
        "worker_processes",
        sa.Column(
            "unfit_until",
            sa.DateTime(timezone=True),
            comment="it takes nothing before then, and tries again",
        ),
    )
