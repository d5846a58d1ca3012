"""Which chore hangs, numbers of versions that come once, and crawls that are counted in parts.

Numbers of versions began anew once all models of a rung were purged. How far a crawl is was counted
of all its items each time.

Revision ID: 0025
Revises: 0024
"""

import sqlalchemy as sa
from alembic import op

from db.ddl import patiently

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "rung_versions",
        sa.Column("rung", sa.Text(), nullable=False),
        sa.Column("last_version", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("last_version >= 1", name=op.f("ck_rung_versions_version_from_one")),
        sa.PrimaryKeyConstraint("rung", name=op.f("pk_rung_versions")),
    )
    op.execute(
        "INSERT INTO rung_versions SELECT rung, max(version) FROM model_versions GROUP BY rung"
    )
    patiently(op.get_bind(), _change)


def downgrade() -> None:
    patiently(op.get_bind(), _undo)
    op.drop_table("rung_versions")


def _change() -> None:
    # Together: who waits for the one holds the other for as long. A foreign key locks jobs.
    _make_parts()
    _add()


def _undo() -> None:
    op.drop_table("crawl_parts")
    op.drop_column("worker_processes", "late_since")
    op.drop_column("worker_processes", "late_chore")


def _add() -> None:
    op.add_column(
        "worker_processes",
        sa.Column(
            "late_chore",
            sa.Text(),
            nullable=True,
            comment="of a dispatcher: what it began and has not ended for too long",
        ),
    )
    op.add_column(
        "worker_processes",
        sa.Column(
            "late_since",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when it began that",
        ),
    )


def _make_parts() -> None:
    counts = ("total", "done", "failed", "in_doubt")
    op.create_table(
        "crawl_parts",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column(
            "first",
            sa.BigInteger(),
            nullable=False,
            comment="place of its first channel among those that the job names",
        ),
        sa.Column("channels", sa.BigInteger(), nullable=False),
        *(
            sa.Column(
                name,
                sa.BigInteger(),
                server_default="0",
                nullable=False,
                comment="work items" if name == "total" else None,
            )
            for name in counts
        ),
        sa.Column(
            "is_over",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="nothing was left to do; it is not counted again",
        ),
        sa.Column("counted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "waiting_until",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when the first of what is left is ready; NULL: some is ready or under way",
        ),
        *(
            sa.Column(f"waiting_{name}", sa.Text(), nullable=True)
            for name in ("kind", "reason", "message")
        ),
        sa.CheckConstraint(
            "first >= 0 AND channels >= 1", name=op.f("ck_crawl_parts_some_channels")
        ),
        sa.CheckConstraint(
            "least(total, done, failed, in_doubt) >= 0", name=op.f("ck_crawl_parts_counts")
        ),
        sa.ForeignKeyConstraint(
            ["job_id"],
            ["jobs.job_id"],
            name=op.f("fk_crawl_parts_job_id_jobs"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("job_id", "first", name=op.f("pk_crawl_parts")),
    )
