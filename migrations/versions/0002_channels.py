"""Channels: tags, pauses, languages, resumable discovery; formats of videos; missed slots.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

from db.views import view_sql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

CHANNEL_COLUMNS = (
    ("language", sa.Text(), "spoken or written, as ISO 639 (en, zh); NULL: not known"),
    ("language_source", sa.Text(), "hand, or metadata: what YouTube says of channel and videos"),
    ("paused_at", sa.DateTime(timezone=True), "nothing of it is claimed while this is set"),
    ("resumed_at", sa.DateTime(timezone=True), "when the last pause ended"),
    (
        "ask_again_at",
        sa.DateTime(timezone=True),
        "when a channel that YouTube no longer shows is looked for again",
    ),
    (
        "walk_token",
        sa.Text(),
        "page at which the walk through its uploads goes on; NULL: none is under way",
    ),
    ("walk_started_at", sa.DateTime(timezone=True), None),
    ("listed_at", sa.DateTime(timezone=True), "when its newest uploads were last read to the end"),
    ("walked_at", sa.DateTime(timezone=True), "when all of its uploads were last read"),
)
VIDEO_COLUMNS = (
    ("format", sa.Text(), "short, long, live or premiere; NULL: not known yet"),
    ("gone_at", sa.DateTime(timezone=True), "when YouTube was first found not to show it"),
    (
        "unlisted_at",
        sa.DateTime(timezone=True),
        "when it was found to be missing from the uploads, but shown to who knows its id",
    ),
)
CHECKS = (
    ("channels", "language_has_source", "(language IS NULL) = (language_source IS NULL)"),
    ("channels", "language_source_known", "language_source IN ('hand', 'metadata')"),
    ("channels", "language_form", "language ~ '^[a-z]{2,3}$'"),
    ("channels", "ask_again", "ask_again_at IS NULL OR state IN ('closed', 'suspended', 'gone')"),
    ("channels", "walk", "(walk_token IS NULL) = (walk_started_at IS NULL)"),
    ("videos", "format_known", "format IN ('short', 'long', 'live', 'premiere')"),
    ("videos", "gone", "(state = 'gone') = (gone_at IS NOT NULL)"),
)


def upgrade() -> None:
    for table, columns in (("channels", CHANNEL_COLUMNS), ("videos", VIDEO_COLUMNS)):
        for name, type_, comment in columns:
            op.add_column(table, sa.Column(name, type_, comment=comment))
    op.add_column(
        "channels",
        sa.Column(
            "walk_listed",
            sa.BigInteger(),
            server_default="0",
            nullable=False,
            comment="uploads that the walk under way has listed so far",
        ),
    )
    op.add_column(
        "work_items",
        sa.Column(
            "interval_s",
            sa.BigInteger(),
            comment="how long after the slot the next one falls due; NULL before the first",
        ),
    )
    _fill()
    for table, name, condition in CHECKS:
        op.create_check_constraint(op.f(f"ck_{table}_{name}"), table, condition)
    _tags()
    _missed_slots()
    for column in ("paused_at", "ask_again_at"):
        op.create_index(
            f"ix_channels_{column}",
            "channels",
            [column],
            postgresql_where=sa.text(f"{column} IS NOT NULL"),
        )
    for view in ("completeness_gaps", "completeness"):
        op.execute(view_sql(view, 1))


def downgrade() -> None:
    for view in ("completeness", "completeness_gaps"):
        op.execute(f"DROP VIEW {view}")
    op.execute("DROP FUNCTION completeness_since, slots_not_collected")
    op.drop_table("missed_slots")
    op.drop_table("channel_tags")
    # Checks and indexes go with their columns.
    op.drop_column("work_items", "interval_s")
    op.drop_column("channels", "walk_listed")
    for table, columns in (("videos", VIDEO_COLUMNS), ("channels", CHANNEL_COLUMNS)):
        for name, _, _ in columns:
            op.drop_column(table, name)


def _fill() -> None:
    """What the first version knew, in the new columns."""
    op.execute(
        """
        UPDATE channels c SET listed_at = w.done_at, walked_at = w.done_at
        FROM work_items w
        WHERE w.kind = 'channel.discover' AND w.entity_id = c.channel_id
        """
    )
    op.execute(
        "UPDATE channels SET ask_again_at = now() WHERE state IN ('closed', 'suspended', 'gone')"
    )
    op.execute(
        "UPDATE videos SET gone_at = coalesce(refreshed_at, first_seen_at) WHERE state = 'gone'"
    )


def _tags() -> None:
    op.create_table(
        "channel_tags",
        sa.Column("channel_id", sa.Text(), nullable=False),
        sa.Column("tag", sa.Text(), nullable=False),
        sa.CheckConstraint("tag ~ '^[^[:cntrl:],]{1,100}$'", name=op.f("ck_channel_tags_tag_form")),
        sa.ForeignKeyConstraint(
            ["channel_id"],
            ["channels.channel_id"],
            name=op.f("fk_channel_tags_channel_id_channels"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("channel_id", "tag", name=op.f("pk_channel_tags")),
    )
    op.create_index("ix_channel_tags_tag", "channel_tags", ["tag"])


def _missed_slots() -> None:
    op.create_table(
        "missed_slots",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("entity_id", sa.Text(), nullable=False, comment="channel or video id"),
        sa.Column("first_slot", sa.DateTime(timezone=True), nullable=False),
        sa.Column("channel_id", sa.Text(), nullable=False),
        sa.Column("last_slot", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "interval_s", sa.BigInteger(), nullable=False, comment="from one slot to the next"
        ),
        sa.Column(
            "reason", sa.Text(), nullable=False, comment="why nothing was collected meanwhile"
        ),
        sa.Column("noted_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("last_slot >= first_slot", name=op.f("ck_missed_slots_in_order")),
        sa.CheckConstraint("interval_s > 0", name=op.f("ck_missed_slots_interval_positive")),
        sa.ForeignKeyConstraint(
            ["channel_id"],
            ["channels.channel_id"],
            name=op.f("fk_missed_slots_channel_id_channels"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("kind", "entity_id", "first_slot", name=op.f("pk_missed_slots")),
    )
    op.create_index("ix_missed_slots_channel_id", "missed_slots", ["channel_id"])
