"""What a swap did to the views is kept beside it; the view reckons it only where something changed.

Each first page read the counts of all other videos of each row's channel. Nothing is reckoned here:
each channel is noted, as if all of its swaps had changed, and a chore of the dispatcher goes on.
Gaps in what was collected are found without looking at what fell due in the last hour.

Revision ID: 0033
Revises: 0032
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from db.ddl import lock_views, patiently
from db.views import view_sql

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None

VIEWS = (("thumbnail_changes", 2, 3), ("completeness_gaps", 4, 5))
"""Views that are replaced, the version before and after."""

_DAY = "(slot AT TIME ZONE 'UTC')::date"
_LATE = "captured_at > slot + interval '1 hour'"
_COUNT_VIDEOS = f"""
    CREATE OR REPLACE FUNCTION count_videos() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO counted_batches (day, is_late, sign{{column}}, video_ids)
            SELECT {_DAY}, {_LATE}, TG_ARGV[0]::bigint{{value}}, array_agg(video_id)
            FROM changed GROUP BY 1, 2;
        RETURN NULL;
    END $$
"""
COUNT_VIDEOS = _COUNT_VIDEOS.format(column=", first_captured_at", value=", min(captured_at)")
COUNT_VIDEOS_BEFORE = _COUNT_VIDEOS.format(column="", value="")

FUNCTIONS = (
    (
        "note_swap()",
        "Notes of which video a picture was swapped, and when, or is known to have been otherwise.",
        # From the last sight of the version before until the first of the one after. Without one
        # before, it may have gone in the same statement, from which only this one is left to tell.
        """
        DECLARE
            t video_thumbnails;
        BEGIN
            IF TG_OP = 'UPDATE' AND (OLD.video_id, OLD.version, OLD.first_seen_at)
                <> (NEW.video_id, NEW.version, NEW.first_seen_at)
            THEN
                INSERT INTO swaps_to_keep (channel_id) SELECT DISTINCT channel_id FROM videos
                    WHERE video_id IN (OLD.video_id, NEW.video_id);
                RETURN NULL;
            END IF;
            t := CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
            INSERT INTO swaps_to_keep (channel_id, video_id, since, until)
                SELECT
                    v.channel_id,
                    v.video_id,
                    least(t.last_seen_at, OLD.last_seen_at, coalesce(
                        (SELECT last_seen_at FROM video_thumbnails
                         WHERE video_id = t.video_id AND version = t.version - 1),
                        CASE WHEN t.version > 1 THEN '-infinity'::timestamptz END
                    )),
                    greatest(
                        t.first_seen_at,
                        (SELECT first_seen_at FROM video_thumbnails
                         WHERE video_id = t.video_id AND version = t.version + 1)
                    )
                FROM videos v WHERE v.video_id = t.video_id;
        END;
        """,
    ),
    (
        "note_videos_removed()",
        "Notes of which channels there are fewer videos.",
        "INSERT INTO swaps_to_keep (channel_id) SELECT DISTINCT channel_id FROM changed;",
    ),
    (
        "note_video_moved()",
        "Notes of which two channels there are other videos.",
        "INSERT INTO swaps_to_keep (channel_id) VALUES (OLD.channel_id), (NEW.channel_id);",
    ),
    (
        "note_counts_taken()",
        "Notes of which channels counts were added up or dropped by a release that keeps no swaps.",
        # It may have them for as long as dispatchers of both releases are there. Once is enough.
        """
        IF current_setting('tubegrader.keeps_swaps', true) IS DISTINCT FROM 'on' THEN
            INSERT INTO swaps_to_keep (channel_id)
                SELECT DISTINCT v.channel_id
                FROM changed c
                CROSS JOIN LATERAL unnest(c.video_ids) AS one (video_id)
                JOIN videos v ON v.video_id = one.video_id
                WHERE v.channel_id NOT IN (
                    SELECT channel_id FROM swaps_to_keep WHERE video_id IS NULL
                );
        END IF;
        """,
    ),
    (
        "note_days_taken()",
        "Notes of which channels days were forgotten by a release that keeps no swaps.",
        """
        IF current_setting('tubegrader.keeps_swaps', true) IS DISTINCT FROM 'on' THEN
            INSERT INTO swaps_to_keep (channel_id)
                SELECT DISTINCT channel_id FROM changed
                WHERE channel_id NOT IN (
                    SELECT channel_id FROM swaps_to_keep WHERE video_id IS NULL
                );
        END IF;
        """,
    ),
)
TRIGGERS = (
    (
        "swap_added",
        "video_thumbnails",
        # Most are a video's first picture.
        (
            "AFTER INSERT ON video_thumbnails FOR EACH ROW "
            "WHEN (NEW.version > 1 OR NOT NEW.is_current) EXECUTE FUNCTION note_swap()"
        ),
    ),
    (
        "swap_changed",
        "video_thumbnails",
        # Not where a picture that is shown is seen again, which is all that happens as a rule.
        (
            "AFTER UPDATE OF video_id, version, first_seen_at, last_seen_at ON video_thumbnails "
            "FOR EACH ROW WHEN (OLD.video_id <> NEW.video_id OR OLD.version <> NEW.version "
            "OR OLD.first_seen_at <> NEW.first_seen_at "
            "OR OLD.last_seen_at <> NEW.last_seen_at AND NOT NEW.is_current) "
            "EXECUTE FUNCTION note_swap()"
        ),
    ),
    (
        "swap_removed",
        "video_thumbnails",
        (
            "AFTER DELETE ON video_thumbnails FOR EACH ROW "
            "WHEN (OLD.version > 1 OR NOT OLD.is_current) EXECUTE FUNCTION note_swap()"
        ),
    ),
    (
        "swaps_removed",
        "videos",
        (
            "AFTER DELETE ON videos REFERENCING OLD TABLE AS changed "
            "FOR EACH STATEMENT EXECUTE FUNCTION note_videos_removed()"
        ),
    ),
    (
        "swaps_moved",
        "videos",
        (
            "AFTER UPDATE OF channel_id ON videos FOR EACH ROW "
            "WHEN (OLD.channel_id <> NEW.channel_id) EXECUTE FUNCTION note_video_moved()"
        ),
    ),
    (
        "counts_taken",
        "counted_batches",
        (
            "AFTER DELETE ON counted_batches REFERENCING OLD TABLE AS changed "
            "FOR EACH STATEMENT EXECUTE FUNCTION note_counts_taken()"
        ),
    ),
    (
        "days_taken",
        "daily_counts",
        (
            "AFTER DELETE ON daily_counts REFERENCING OLD TABLE AS changed "
            "FOR EACH STATEMENT EXECUTE FUNCTION note_days_taken()"
        ),
    ),
)
"""As (name, table, what it is)."""


def upgrade() -> None:
    _make_tables()
    for signature, said, body in FUNCTIONS:
        op.execute(
            f"CREATE FUNCTION {signature} RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN {body} RETURN NULL; END $$"
        )
        op.execute(f"COMMENT ON FUNCTION {signature} IS '{said}'")
    patiently(op.get_bind(), _change)


def downgrade() -> None:
    patiently(op.get_bind(), _undo)
    op.drop_table("swaps_to_keep")
    op.drop_table("kept_swaps")


def _change() -> None:
    lock_views(op.get_bind())
    for name, _, version in VIEWS:
        _replace_view(name, version)
    op.add_column(
        "counted_batches",
        sa.Column(
            "first_captured_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when the first of them was read; NULL in batches from before it was noted",
        ),
    )
    op.execute(COUNT_VIDEOS)
    for name, _, what in TRIGGERS:
        op.execute(f"CREATE TRIGGER {name} {what}")
    # Whatever was swapped until now.
    op.execute("INSERT INTO swaps_to_keep (channel_id) SELECT channel_id FROM channels")


def _undo() -> None:
    lock_views(op.get_bind())
    for name, version, _ in VIEWS:
        _replace_view(name, version)
    op.execute("DROP FUNCTION controls_around, views_around, picture_swaps")
    op.execute(COUNT_VIDEOS_BEFORE)
    op.drop_column("counted_batches", "first_captured_at")
    for name, table, _ in TRIGGERS:
        op.execute(f"DROP TRIGGER {name} ON {table}")
    for signature, _, _ in FUNCTIONS:
        op.execute(f"DROP FUNCTION {signature}")


def _replace_view(name: str, version: int) -> None:
    statements = view_sql(name, version)
    op.execute(statements.replace("CREATE VIEW", "CREATE OR REPLACE VIEW"))


def _make_tables() -> None:
    moment = sa.DateTime(timezone=True)
    amount: sa.Double[float] = sa.Double()
    op.create_table(
        "kept_swaps",
        sa.Column("video_id", sa.Text(), nullable=False),
        sa.Column(
            "version",
            sa.BigInteger(),
            nullable=False,
            comment="of the new picture; 2 is the first change",
        ),
        sa.Column("channel_id", sa.Text(), nullable=False),
        sa.Column(
            "is_stale",
            sa.Boolean(),
            nullable=False,
            comment="not reckoned yet, or something it follows from has changed since",
        ),
        sa.Column("ready_at", moment, nullable=False, comment="not reckoned again before"),
        sa.Column(
            "token",
            sa.Uuid(),
            nullable=True,
            comment="of who reckons it; gone as soon as anything of the channel changed since",
        ),
        sa.Column("changed_at", moment, nullable=False),
        sa.Column("old_last_seen_at", moment, nullable=True),
        sa.Column("shown_from", moment, nullable=True, comment="the old picture; NULL: always"),
        sa.Column("shown_until", moment, nullable=True, comment="the new picture; NULL: still"),
        sa.Column(
            "span", sa.Interval(), nullable=True, comment="of the windows; NULL: under a day"
        ),
        sa.Column("views_before", amount, nullable=True),
        sa.Column("views_after", amount, nullable=True),
        sa.Column("control_videos", sa.BigInteger(), nullable=True),
        sa.Column("control_before", amount, nullable=True),
        sa.Column("control_after", amount, nullable=True),
        sa.Column(
            "ends_at",
            moment,
            nullable=True,
            comment="a count of the channel that was read later changes nothing, but of who is "
            "undecided",
        ),
        sa.Column(
            "undecided",
            postgresql.ARRAY(sa.Text()),
            nullable=True,
            comment="videos whose next count changes it, whenever it is read; NULL: all",
        ),
        sa.Column(
            "first_day",
            sa.Date(),
            nullable=True,
            comment="the UTC day of the first slot that it follows from; NULL: of none",
        ),
        sa.PrimaryKeyConstraint("video_id", "version", name=op.f("pk_kept_swaps")),
    )
    op.create_index("ix_kept_swaps_channel_id", "kept_swaps", ["channel_id"])
    op.create_index(
        "ix_kept_swaps_stale",
        "kept_swaps",
        ["ready_at", sa.text("changed_at DESC")],
        postgresql_where=sa.text("is_stale"),
    )
    op.create_table(
        "swaps_to_keep",
        sa.Column("swap_to_keep_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("channel_id", sa.Text(), nullable=False),
        sa.Column(
            "video_id",
            sa.Text(),
            nullable=True,
            comment="whose swaps are to be listed anew; NULL: those of the whole channel",
        ),
        sa.Column(
            "since",
            moment,
            nullable=True,
            comment="other swaps of the channel with windows from here until then are stale",
        ),
        sa.Column("until", moment, nullable=True),
        sa.PrimaryKeyConstraint("swap_to_keep_id", name=op.f("pk_swaps_to_keep")),
    )
