"""Dispatchers are elected, processes tell that they live, and items of paused channels are held.

`work_items` is vacuumed after every fiftieth row that changed instead of every fifth: of ten
million rows, two million dead ones lay in the way.

Revision ID: 0016
Revises: 0015
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_NOW = sa.text("clock_timestamp()")


def upgrade() -> None:
    op.create_table(
        "worker_processes",
        sa.Column("process_name", sa.Text(), nullable=False, comment="role@host:pid/random"),
        sa.Column(
            "role", sa.Text(), nullable=False, comment="dispatcher, or the queue that it works on"
        ),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False, comment="of TubeGrader"),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.PrimaryKeyConstraint("process_name", name=op.f("pk_worker_processes")),
    )
    op.create_index("ix_worker_processes_seen_at", "worker_processes", ["seen_at"])
    op.create_table(
        "elections",
        sa.Column("office", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False, comment="a process by its name"),
        sa.Column("elected_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "held_until",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="then anybody may take it",
        ),
        sa.PrimaryKeyConstraint("office", name=op.f("pk_elections")),
    )
    op.add_column(
        "work_items",
        sa.Column(
            "is_held",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="its channel is paused: nobody looks at it",
        ),
    )
    op.execute(
        "ALTER TABLE work_items SET (autovacuum_vacuum_scale_factor = 0.02, "
        "autovacuum_vacuum_insert_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02)"
    )


def downgrade() -> None:
    op.execute(
        "ALTER TABLE work_items RESET (autovacuum_vacuum_scale_factor, "
        "autovacuum_vacuum_insert_scale_factor, autovacuum_analyze_scale_factor)"
    )
    op.drop_column("work_items", "is_held")
    op.drop_table("elections")
    op.drop_index("ix_worker_processes_seen_at", table_name="worker_processes")
    op.drop_table("worker_processes")
