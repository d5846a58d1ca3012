"""What is overdue is added up by channel and day again and again, for when very much of it is.

The views of completeness count it anew for each reader as long as it is little, and read what a
dispatcher counted last where it is much; a new column says of when that is.

Revision ID: 0038
Revises: 0037
"""

import sqlalchemy as sa
from alembic import op

from db.ddl import lock_views, patiently
from db.views import view_sql

revision = "0038"
down_revision = "0037"
branch_labels = None
depends_on = None

VIEWS = (("completeness_gaps", 5, 6), ("completeness", 2, 3))
"""Views that are replaced, the version before and after."""
FUNCTIONS = (
    *("overdue_by_day", "little_overdue", "overdue_counted_at", "overdue_slots_of"),
    *("is_more_overdue", "slots_skipped"),
)


def upgrade() -> None:
    op.create_table(
        "overdue_counts",
        sa.Column("channel_id", sa.Text(), nullable=False),
        sa.Column(
            "day", sa.Date(), nullable=False, comment="the UTC day on which the slots fell due"
        ),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False, comment="why they were not collected yet"),
        sa.Column("n_slots", sa.BigInteger(), nullable=False),
        sa.Column(
            "n_entities",
            sa.BigInteger(),
            nullable=False,
            comment="videos or channels that the slots belong to, and that missed no other for "
            "the same reason on that day",
        ),
        sa.ForeignKeyConstraint(
            ["channel_id"],
            ["channels.channel_id"],
            name=op.f("fk_overdue_counts_channel_id_channels"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "channel_id", "day", "kind", "reason", name=op.f("pk_overdue_counts")
        ),
    )
    op.create_index(
        "ix_overdue_counts_day",
        "overdue_counts",
        [sa.literal_column("day DESC"), "channel_id", "kind", "reason"],
    )
    op.create_table(
        "overdue_counting",
        sa.Column(
            "is_only",
            sa.Boolean(),
            server_default=sa.text("true"),
            nullable=False,
            comment="one row",
        ),
        sa.Column(
            "counted_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when the last whole count was begun; NULL: there was none yet",
        ),
        sa.CheckConstraint("is_only", name=op.f("ck_overdue_counting_one_row")),
        sa.PrimaryKeyConstraint("is_only", name=op.f("pk_overdue_counting")),
    )
    op.execute("INSERT INTO overdue_counting DEFAULT VALUES")
    patiently(op.get_bind(), _replace)


def downgrade() -> None:
    patiently(op.get_bind(), _put_back)
    op.drop_table("overdue_counting")
    op.drop_table("overdue_counts")


def _replace() -> None:
    lock_views(op.get_bind())
    for view, _, version in VIEWS:
        statements = view_sql(view, version)
        op.execute(statements.replace("CREATE VIEW", "CREATE OR REPLACE VIEW"))


def _put_back() -> None:
    """Make views anew that have a column less, with the comments that the others have."""
    lock_views(op.get_bind())
    said = [(view, _comments(view)) for view, _, _ in VIEWS]
    for view, _, _ in reversed(VIEWS):
        op.execute(f"DROP VIEW {view}")
    for function in FUNCTIONS:
        op.execute(f"DROP FUNCTION {function}")
    for view, version, _ in VIEWS:
        op.execute(view_sql(view, version))
    for view, comments in said:
        for column, comment in comments.items():
            quoted = comment.replace("'", "''")
            op.execute(f"COMMENT ON COLUMN {view}.{column} IS '{quoted}'")


def _comments(view: str) -> dict[str, str]:
    rows = op.get_bind().execute(
        sa.text(
            "SELECT attname, col_description(attrelid, attnum) FROM pg_attribute "
            "WHERE attrelid = CAST(:view AS regclass) AND attname <> 'overdue_at'"
        ),
        {"view": view},
    )
    return {column: comment for column, comment in rows if comment is not None}
