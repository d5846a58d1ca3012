"""Champions: which model of a task is in use, what was decided about it when, and why.

Revision ID: 0009
Revises: 0008
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from db.views import view_sql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

TASKS = "('views', 'language')"
DECISIONS = "('promoted', 'kept', 'byHand', 'rolledBack')"


def upgrade() -> None:
    op.create_unique_constraint(
        op.f("uq_model_versions_model_version_id_task"),
        "model_versions",
        ["model_version_id", "task"],
    )
    _aliases()
    _promotions()
    for name in ("champion_ladders", "promotion_history"):
        op.execute(view_sql(name, 1))
    _results(2)


def downgrade() -> None:
    _results(1)
    for name in ("promotion_history", "champion_ladders"):
        op.execute(f"DROP VIEW {name}")
    op.drop_table("promotions")
    op.drop_table("model_aliases")
    op.drop_constraint(op.f("uq_model_versions_model_version_id_task"), "model_versions")


def _results(version: int) -> None:
    for name in ("scored_videos", "language_results"):
        op.execute(f"DROP VIEW {name}")
        op.execute(view_sql(name, version))


def _aliases() -> None:
    op.create_table(
        "model_aliases",
        sa.Column("task", sa.Text(), nullable=False),
        sa.Column("alias", sa.Text(), nullable=False),
        sa.Column("model_version_id", sa.BigInteger(), nullable=False),
        sa.Column("set_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(f"task IN {TASKS}", name=op.f("ck_model_aliases_task_known")),
        sa.CheckConstraint(
            "alias IN ('champion', 'challenger')", name=op.f("ck_model_aliases_alias_known")
        ),
        # No ON DELETE: a model that is in use cannot be deleted.
        sa.ForeignKeyConstraint(
            ["model_version_id", "task"],
            ["model_versions.model_version_id", "model_versions.task"],
            name=op.f("fk_model_aliases_model_version_id_task_model_versions"),
        ),
        sa.PrimaryKeyConstraint("task", "alias", name=op.f("pk_model_aliases")),
    )


def _promotions() -> None:
    op.create_table(
        "promotions",
        sa.Column("promotion_id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("task", sa.Text(), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decision", sa.Text(), nullable=False),
        sa.Column(
            "champion_version_id",
            sa.BigInteger(),
            nullable=True,
            comment="the champion before; NULL: there was none",
        ),
        sa.Column(
            "challenger_version_id",
            sa.BigInteger(),
            nullable=True,
            comment="the champion after, unless kept; NULL: no model was fit to contest",
        ),
        sa.Column("ground", sa.Text(), nullable=False, comment="a stable word to count by"),
        sa.Column("reason", sa.Text(), nullable=False, comment="why, in plain words"),
        sa.Column(
            "figures",
            JSONB(),
            nullable=False,
            comment="what it was decided by: differences with intervals, overall and by slice",
        ),
        sa.Column("job_id", sa.Uuid(), nullable=True),
        sa.CheckConstraint(f"task IN {TASKS}", name=op.f("ck_promotions_task_known")),
        sa.CheckConstraint(f"decision IN {DECISIONS}", name=op.f("ck_promotions_decision_known")),
        sa.CheckConstraint("reason <> ''", name=op.f("ck_promotions_reason_given")),
        sa.CheckConstraint(
            "decision = 'kept' OR challenger_version_id IS NOT NULL",
            name=op.f("ck_promotions_champion_after"),
        ),
        sa.ForeignKeyConstraint(
            ["champion_version_id", "task"],
            ["model_versions.model_version_id", "model_versions.task"],
            name=op.f("fk_promotions_champion_version_id_task_model_versions"),
        ),
        sa.ForeignKeyConstraint(
            ["challenger_version_id", "task"],
            ["model_versions.model_version_id", "model_versions.task"],
            name=op.f("fk_promotions_challenger_version_id_task_model_versions"),
        ),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.job_id"], name=op.f("fk_promotions_job_id_jobs"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("promotion_id", name=op.f("pk_promotions")),
    )
    # A job decides once, however often its worker dies.
    op.create_index(op.f("ix_promotions_job_id"), "promotions", ["job_id"], unique=True)
    op.create_index(op.f("ix_promotions_task"), "promotions", ["task", "promotion_id"])
