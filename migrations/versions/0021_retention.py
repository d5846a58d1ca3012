"""Upkeep comes daily, and what was learned is let go of.

The schedule of upkeep that was installed by default becomes a daily one where nobody changed it; a
removed one stays removed, and a paused one paused. Partitions of a day need no change: those there
are, of a month each, stay as they are.

Datasets get what tells when they were used last and whether their pictures are gone; a report on
drift outlives its dataset. An export knows the folder it was written to by a mark in it: the name
of a container's host never comes again. How large everything is, is noted daily.

Revision ID: 0021
Revises: 0020
"""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

WEEKLY = ("weekly-upkeep", "15 4 * * SUN")
DAILY = ("daily-upkeep", "15 4 * * *")


HOST = ("the machine it was written on", "the machine or container it was written on")
DRIFT_DATASET = "fk_drift_reports_dataset_id_datasets"


def upgrade() -> None:
    _upkeep(WEEKLY, DAILY)
    op.add_column(
        "datasets",
        sa.Column(
            "used_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when the same content was last frozen again, to be learned from",
        ),
    )
    op.add_column(
        "datasets",
        sa.Column(
            "pictures_purged_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when its copies of pictures were removed; its rows stay for its models",
        ),
    )
    op.create_table(
        "sizes",
        sa.Column("measured_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False, comment="a table, or a kind of objects"),
        sa.Column(
            "n_rows",
            sa.BigInteger(),
            nullable=False,
            comment="an estimate; of objects how many there are",
        ),
        sa.Column("bytes", sa.BigInteger(), nullable=False, comment="of a table with its indexes"),
        sa.PrimaryKeyConstraint("measured_at", "kind", name=op.f("pk_sizes")),
    )
    op.alter_column("exports", "host", comment=HOST[1], existing_comment=HOST[0])
    op.add_column(
        "exports",
        sa.Column(
            "place_id",
            sa.Uuid(),
            nullable=True,
            comment="the folder it was written to, as the mark in it says; NULL: there was none "
            "yet",
        ),
    )
    op.alter_column(
        "drift_reports",
        "dataset_id",
        nullable=True,
        comment="the newest of then, of whose videos the window is; NULL: it was removed since",
        existing_comment="the newest of then: the window is of its videos",
    )
    _drift_dataset(ondelete="SET NULL")


def downgrade() -> None:
    _drift_dataset(ondelete=None)
    op.execute("DELETE FROM drift_reports WHERE dataset_id IS NULL")
    op.alter_column(
        "drift_reports",
        "dataset_id",
        nullable=False,
        comment="the newest of then: the window is of its videos",
        existing_comment="the newest of then, of whose videos the window is; NULL: it was removed "
        "since",
    )
    op.drop_table("sizes")
    op.drop_column("exports", "place_id")
    op.alter_column("exports", "host", comment=HOST[0], existing_comment=HOST[1])
    op.drop_column("datasets", "pictures_purged_at")
    op.drop_column("datasets", "used_at")
    _upkeep(DAILY, WEEKLY)


def _drift_dataset(*, ondelete: str | None) -> None:
    op.drop_constraint(op.f(DRIFT_DATASET), "drift_reports", type_="foreignkey")
    op.create_foreign_key(
        op.f(DRIFT_DATASET),
        "drift_reports",
        "datasets",
        ["dataset_id"],
        ["dataset_id"],
        ondelete=ondelete,
    )


def _upkeep(old: tuple[str, str], new: tuple[str, str]) -> None:
    # Without its next slot a dispatcher works it out.
    op.execute(
        f"""
        UPDATE schedules SET name = '{new[0]}', cron = '{new[1]}', next_slot = NULL
        WHERE name = '{old[0]}' AND cron = '{old[1]}' AND kind = 'upkeep' AND params = '{{}}'
          AND time_zone = 'UTC' AND removed_at IS NULL
          AND NOT EXISTS (
            SELECT FROM schedules WHERE name = '{new[0]}' AND removed_at IS NULL
          )
        """
    )
