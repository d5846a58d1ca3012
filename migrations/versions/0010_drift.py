"""Drift: whether new videos differ from those that the champion learned on.

Revision ID: 0010
Revises: 0009
"""

import sqlalchemy as sa
from alembic import op

from db.views import view_sql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "drift_reports",
        sa.Column("drift_report_id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=True),
        sa.Column(
            "model_version_id", sa.BigInteger(), nullable=False, comment="the champion of then"
        ),
        sa.Column(
            "dataset_id",
            sa.Text(),
            nullable=False,
            comment="the newest of then: the window is of its videos",
        ),
        sa.Column("status", sa.Text(), nullable=False, comment="noDrift, drift or notEnough"),
        sa.Column(
            "sentence", sa.Text(), nullable=False, comment="the answer in one plain sentence"
        ),
        sa.Column(
            "window_from",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="first publication in the window",
        ),
        sa.Column(
            "window_to",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="last publication in it",
        ),
        sa.Column("n_videos", sa.BigInteger(), nullable=False, comment="videos in the window"),
        sa.Column("n_channels", sa.BigInteger(), nullable=False, comment="channels in the window"),
        sa.Column(
            "n_reference_videos",
            sa.BigInteger(),
            nullable=False,
            comment="videos it is held against",
        ),
        sa.Column(
            "n_reference_channels", sa.BigInteger(), nullable=False, comment="channels of these"
        ),
        sa.CheckConstraint(
            "status IN ('noDrift', 'drift', 'notEnough')",
            name=op.f("ck_drift_reports_status_known"),
        ),
        sa.CheckConstraint("sentence <> ''", name=op.f("ck_drift_reports_sentence_given")),
        sa.CheckConstraint(
            "status = 'notEnough' OR num_nulls(window_from, window_to) = 0",
            name=op.f("ck_drift_reports_window_given"),
        ),
        sa.ForeignKeyConstraint(
            ["job_id"],
            ["jobs.job_id"],
            name=op.f("fk_drift_reports_job_id_jobs"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["model_version_id"],
            ["model_versions.model_version_id"],
            name=op.f("fk_drift_reports_model_version_id_model_versions"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["dataset_id"],
            ["datasets.dataset_id"],
            name=op.f("fk_drift_reports_dataset_id_datasets"),
        ),
        sa.PrimaryKeyConstraint("drift_report_id", name=op.f("pk_drift_reports")),
    )
    # A job looks once, however often its worker dies.
    op.create_index(op.f("ix_drift_reports_job_id"), "drift_reports", ["job_id"], unique=True)
    op.create_index(op.f("ix_drift_reports_created_at"), "drift_reports", ["created_at"])
    _columns()
    op.execute(view_sql("drift_findings", 1))


def downgrade() -> None:
    op.execute("DROP VIEW drift_findings")
    op.drop_table("drift_columns")
    op.drop_table("drift_reports")


def _columns() -> None:
    op.create_table(
        "drift_columns",
        sa.Column("drift_report_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column(
            "kind",
            sa.Text(),
            nullable=False,
            comment="feature, thumbnail, score, label or performance",
        ),
        sa.Column(
            "distance",
            sa.Float(),
            nullable=False,
            comment="Kolmogorov-Smirnov, of words total variation; of performance how much worse it"
            " is",
        ),
        sa.Column(
            "threshold",
            sa.Float(),
            nullable=False,
            comment="the distance above which it is drift, drawn by channel from the reference",
        ),
        sa.Column("p_value", sa.Float(), nullable=False, comment="of this column alone"),
        sa.Column("is_drifted", sa.Boolean(), nullable=False),
        sa.Column("before", sa.Float(), nullable=True, comment="median, share or measure before"),
        sa.Column("after", sa.Float(), nullable=True, comment="the same of the window"),
        sa.Column("sentence", sa.Text(), nullable=False, comment="what happened, in plain words"),
        sa.CheckConstraint(
            "kind IN ('feature', 'thumbnail', 'score', 'label', 'performance')",
            name=op.f("ck_drift_columns_kind_known"),
        ),
        sa.ForeignKeyConstraint(
            ["drift_report_id"],
            ["drift_reports.drift_report_id"],
            name=op.f("fk_drift_columns_drift_report_id_drift_reports"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("drift_report_id", "name", name=op.f("pk_drift_columns")),
    )
