"""Kinds and queues are declared once, outside the database; a schedule has one trigger.

Which kinds of work, job and schedule there are, and which queues, is a matter of the services: a
new one needs no migration any more. What the database still states is the form of these words.

Revision ID: 0015
Revises: 0014
"""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

WORK_KINDS = (
    "channel.discover",
    "channel.snapshot",
    "video.snapshot",
    "video.thumbnail",
    "video.audio",
)
JOB_KINDS = ("crawl", "train", "score", "compare", "retrain", "upkeep")
SCOPES = ("everything", "crawl", "media", "learning")
COLUMNS = (
    ("work_items", "kind", r"^(channel|video)\.[a-z]+$", WORK_KINDS),
    ("jobs", "kind", "^[a-z]+$", JOB_KINDS),
    ("schedules", "kind", "^[a-z]+$", JOB_KINDS),
    ("pauses", "scope", "^[a-z]+$", SCOPES),
    ("ended_pauses", "scope", "^[a-z]+$", SCOPES),
)


def upgrade() -> None:
    for table, column, pattern, _ in COLUMNS:
        op.drop_constraint(op.f(f"ck_{table}_{column}_known"), table, type_="check")
        op.create_check_constraint(
            op.f(f"ck_{table}_{column}_form"), table, f"{column} ~ '{pattern}'"
        )
    _rename_trigger("one_rhythm", "one_trigger")


def downgrade() -> None:
    _rename_trigger("one_trigger", "one_rhythm")
    for table, column, _, known in COLUMNS:
        op.drop_constraint(op.f(f"ck_{table}_{column}_form"), table, type_="check")
        op.create_check_constraint(
            op.f(f"ck_{table}_{column}_known"), table, f"{column} IN {known}"
        )


def _rename_trigger(old: str, new: str) -> None:
    op.execute(f"ALTER TABLE schedules RENAME CONSTRAINT ck_schedules_{old} TO ck_schedules_{new}")
