"""Each task has one name, the word that people type: thumbnails and speech.

Revision ID: 0011
Revises: 0010
"""

from collections.abc import Mapping

import sqlalchemy as sa
from alembic import op

from db.ddl import lock_views
from db.views import view_sql

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

NEW_NAMES = {"views": "thumbnails", "language": "speech"}
DEFAULTED = ("datasets", "model_versions")
TABLES = (*DEFAULTED, "model_aliases", "promotions")
VIEWS = {
    "champion_ladders": 2,
    "promotion_history": 2,
    "scored_videos": 3,
    "model_comparison": 3,
    "language_results": 3,
}
"""The version of each view that names tasks in the new way; the one before does in the old."""
OF_A_TASK = (
    ("model_aliases", "model_version_id"),
    ("promotions", "champion_version_id"),
    ("promotions", "challenger_version_id"),
)
"""The columns that refer to a model version of the row's own task."""


def upgrade() -> None:
    lock_views(op.get_bind())
    _rename(NEW_NAMES, rows="segments")
    _challenger("the champion after, unless kept; NULL: no model was fit to be one")
    for name, version in VIEWS.items():
        _replace(name, version)


def downgrade() -> None:
    lock_views(op.get_bind())
    old_names = {new: old for old, new in NEW_NAMES.items()}
    _rename(old_names, rows="stretches of speech")
    _challenger("the champion after, unless kept; NULL: no model was fit to contest")
    for name, version in VIEWS.items():
        _replace(name, version - 1)


def _rename(names: Mapping[str, str], *, rows: str) -> None:
    """Rename the tasks in place; nothing but these four small tables is locked or read."""
    thumbnails_before, _ = names
    thumbnails, speech = names.values()
    for table, column in OF_A_TASK:
        op.drop_constraint(op.f(_foreign_key(table, column)), table, type_="foreignkey")
    op.drop_constraint(op.f(f"ck_datasets_{thumbnails_before}_whole"), "datasets", type_="check")
    for table in TABLES:
        op.drop_constraint(op.f(f"ck_{table}_task_known"), table, type_="check")
        for before, after in names.items():
            kept = sa.table(table, sa.column("task"))
            op.execute(kept.update().where(kept.c.task == before).values(task=after))
        op.create_check_constraint(
            op.f(f"ck_{table}_task_known"), table, f"task IN ('{thumbnails}', '{speech}')"
        )
    op.create_check_constraint(
        op.f(f"ck_datasets_{thumbnails}_whole"),
        "datasets",
        f"task <> '{thumbnails}' OR num_nulls(threshold, base_rate, videos_sha256) = 0",
    )
    for table, column in OF_A_TASK:
        op.create_foreign_key(
            op.f(_foreign_key(table, column)),
            table,
            "model_versions",
            [column, "task"],
            ["model_version_id", "task"],
        )
    for table in DEFAULTED:
        op.alter_column(
            table, "task", server_default=thumbnails, comment=f"{thumbnails} or {speech}"
        )
    for column, comment in (("n_videos", rows), ("n_channels", "speakers")):
        op.alter_column("datasets", column, comment=f"of the task {speech}: {comment}")


def _challenger(comment: str) -> None:
    op.alter_column("promotions", "challenger_version_id", comment=comment)


def _foreign_key(table: str, column: str) -> str:
    return f"fk_{table}_{column}_task_model_versions"


def _replace(name: str, version: int) -> None:
    # Its columns stay, so what others built on it, and who may read it, stay too.
    op.execute(view_sql(name, version).replace("CREATE VIEW", "CREATE OR REPLACE VIEW", 1))
