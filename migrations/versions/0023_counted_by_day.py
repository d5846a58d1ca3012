"""What was collected and missed is added up by channel and day, beside what it is counted from.

Triggers keep it true, whoever writes. A batch of snapshots is noted as one row and added up within
a minute, so that no ingest waits for another of the same channel. What was there before is added as
the difference between what there is and what was noted already, in one statement each that locks
nothing: nobody waits, and a migration that was killed is run again.

Revision ID: 0023
Revises: 0022
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from db.ddl import patiently

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

_INTO = (
    "INSERT INTO daily_counts (channel_id, day, kind, reason, n_slots, n_late, n_entities) SELECT"
)
_DAY = "(slot AT TIME ZONE 'UTC')::date"
_LATE = "captured_at > slot + interval '1 hour'"
_FOUND = (
    "generate_series({v}.published_at + interval '25 hours', {v}.first_seen_at, "
    "interval '24 hours') AS s (slot)"
)
_FOUND_LATE = (
    "{v}.published_at > {c}.added_at AND {v}.first_seen_at > {v}.published_at + interval '25 hours'"
)
_MISSED = (
    "generate_series(m.first_slot, m.last_slot, make_interval(secs => m.interval_s)) AS s (slot)"
)
_NO_GAP = (
    "m.reason = ANY (ARRAY['videoGone', 'channelNotFound', 'channelClosed', 'channelSuspended'])"
)
_LATE_SLOTS = "of those collected, more than an hour after their slot"
_BY_KEY = "SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off"

FUNCTIONS = (
    (
        "count_videos()",
        "Notes which snapshots of videos were added (1) or removed (-1).",
        f"""
        RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            INSERT INTO counted_batches (day, is_late, sign, video_ids)
                SELECT {_DAY}, {_LATE}, TG_ARGV[0]::bigint, array_agg(video_id)
                FROM changed GROUP BY 1, 2;
            RETURN NULL;
        END $$
        """,
    ),
    (
        "count_channels()",
        "Adds up snapshots of channels that were added (1) or removed (-1).",
        f"""
        RETURNS trigger LANGUAGE plpgsql AS $$ DECLARE sign bigint := TG_ARGV[0]; BEGIN
            {_INTO} channel_id, {_DAY}, 'channel.snapshot', '', sign * count(*),
                    sign * count(*) FILTER (WHERE {_LATE}), 0
                FROM changed JOIN channels USING (channel_id) GROUP BY 1, 2;
            RETURN NULL;
        END $$
        """,
    ),
    (
        "count_missed()",
        "Adds up slots that were noted as missed (1), or whose note was removed (-1).",
        f"""
        RETURNS trigger LANGUAGE plpgsql {_BY_KEY} AS $$ DECLARE sign bigint := TG_ARGV[0]; BEGIN
            -- Of whom a slot of the same day is missed by another note is not counted again.
            {_INTO} c.channel_id, c.day, c.kind, c.reason, sum(c.n), 0,
                    sum((now.n > 0)::int - (now.n > c.n)::int)
                FROM (
                    SELECT m.channel_id, {_DAY} AS day, m.kind, m.reason, m.entity_id,
                        sign * count(*) AS n
                    FROM changed m
                    JOIN channels USING (channel_id)
                    CROSS JOIN LATERAL {_MISSED}
                    WHERE NOT {_NO_GAP}
                    GROUP BY 1, 2, 3, 4, 5
                ) c
                CROSS JOIN LATERAL (
                    SELECT count(*) AS n FROM missed_slots m CROSS JOIN LATERAL {_MISSED}
                    WHERE m.kind = c.kind AND m.entity_id = c.entity_id AND m.reason = c.reason
                      AND m.channel_id = c.channel_id AND {_DAY} = c.day
                ) now
                GROUP BY 1, 2, 3, 4;
            RETURN NULL;
        END $$
        """,
    ),
    (
        "count_found()",
        "Adds up the days on which new videos should have been known already.",
        f"""
        RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            {_INTO} v.channel_id, {_DAY}, 'video.snapshot', 'notDiscovered', count(*), 0, count(*)
                FROM changed v JOIN channels c USING (channel_id)
                CROSS JOIN LATERAL {_FOUND.format(v="v")}
                WHERE {_FOUND_LATE.format(v="v", c="c")} GROUP BY 1, 2;
            RETURN NULL;
        END $$
        """,
    ),
    (
        "count_found_again()",
        "Another moment of publication: other days on which a video should have been known.",
        f"""
        RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            {_INTO} NEW.channel_id, {_DAY}, 'video.snapshot', 'notDiscovered', sum(sign), 0,
                    sum(sign)
                FROM channels c CROSS JOIN LATERAL (
                    SELECT 1 AS sign, slot FROM {_FOUND.format(v="NEW")}
                    WHERE {_FOUND_LATE.format(v="NEW", c="c")}
                    UNION ALL
                    SELECT -1, slot FROM {_FOUND.format(v="OLD")}
                    WHERE {_FOUND_LATE.format(v="OLD", c="c")}
                ) s
                WHERE c.channel_id = NEW.channel_id GROUP BY 1, 2 HAVING sum(sign) <> 0;
            RETURN NULL;
        END $$
        """,
    ),
    (
        "count_added_again()",
        "A channel is watched from another moment on: all of its videos are looked at.",
        f"""
        RETURNS trigger LANGUAGE plpgsql {_BY_KEY} AS $$ BEGIN
            {_INTO} NEW.channel_id, {_DAY}, 'video.snapshot', 'notDiscovered', sum(sign), 0,
                    sum(sign)
                FROM videos v CROSS JOIN LATERAL (
                    SELECT 1 AS sign WHERE {_FOUND_LATE.format(v="v", c="NEW")}
                    UNION ALL
                    SELECT -1 WHERE {_FOUND_LATE.format(v="v", c="OLD")}
                ) changed CROSS JOIN LATERAL {_FOUND.format(v="v")}
                WHERE v.channel_id = NEW.channel_id GROUP BY 1, 2 HAVING sum(sign) <> 0;
            RETURN NULL;
        END $$
        """,
    ),
    (
        "uncount_video()",
        "What was counted of a video that goes, while its channel stays.",
        f"""
        RETURNS trigger LANGUAGE plpgsql {_BY_KEY} AS $$ BEGIN
            IF NOT EXISTS (SELECT FROM channels WHERE channel_id = OLD.channel_id) THEN
                RETURN OLD;
            END IF;
            -- Nobody adds up meanwhile: what is not added up yet goes with the video by itself.
            PERFORM pg_advisory_xact_lock(hashtext('daily_counts'));
            {_INTO} OLD.channel_id, day, 'video.snapshot', '', sum(n),
                    coalesce(sum(n) FILTER (WHERE is_late), 0), 0
                FROM (
                    SELECT {_DAY} AS day, {_LATE} AS is_late, -1 AS n FROM video_snapshots
                    WHERE video_id = OLD.video_id
                    UNION ALL
                    SELECT b.day, b.is_late, b.sign FROM counted_batches b, unnest(b.video_ids) one
                    WHERE one = OLD.video_id
                ) s
                GROUP BY 2;
            {_INTO} OLD.channel_id, {_DAY}, 'video.snapshot', 'notDiscovered', -1, 0, -1
                FROM channels c CROSS JOIN LATERAL {_FOUND.format(v="OLD")}
                WHERE c.channel_id = OLD.channel_id AND {_FOUND_LATE.format(v="OLD", c="c")};
            RETURN OLD;
        END $$
        """,
    ),
)

_EACH = "AFTER {} ON {} REFERENCING {} TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION {}({})"
_COUNTED = (
    ("video_snapshots", "count_videos"),
    ("channel_snapshots", "count_channels"),
    ("missed_slots", "count_missed"),
)
_STATEMENTS = (
    ("counted_added", "INSERT", "NEW", "'1'"),
    ("counted_removed", "DELETE", "OLD", "'-1'"),
    ("counted_before", "UPDATE", "OLD", "'-1'"),
    ("counted_after", "UPDATE", "NEW", "'1'"),
)
TRIGGERS = (
    *(
        (name, table, _EACH.format(event, table, rows, function, sign))
        for table, function in _COUNTED
        for name, event, rows, sign in _STATEMENTS
        if table != "missed_slots" or event != "UPDATE"
    ),
    ("counted_added", "videos", _EACH.format("INSERT", "videos", "NEW", "count_found", "")),
    (
        "counted_changed",
        "videos",
        (
            "AFTER UPDATE OF published_at, first_seen_at ON videos FOR EACH ROW WHEN "
            "(OLD.published_at <> NEW.published_at OR OLD.first_seen_at <> NEW.first_seen_at) "
            "EXECUTE FUNCTION count_found_again()"
        ),
    ),
    (
        "counted_removed",
        "videos",
        "BEFORE DELETE ON videos FOR EACH ROW EXECUTE FUNCTION uncount_video()",
    ),
    (
        "counted_changed",
        "channels",
        (
            "AFTER UPDATE OF added_at ON channels FOR EACH ROW "
            "WHEN (OLD.added_at <> NEW.added_at) EXECUTE FUNCTION count_added_again()"
        ),
    ),
)
"""As (name, table, definition)."""

_TRUE_OF_DAY = f"""
    SELECT v.channel_id, count(*) AS n, count(*) FILTER (WHERE {_LATE}) AS late, 0 AS entities
    FROM video_snapshots s JOIN videos v USING (video_id)
    WHERE s.slot >= CAST(:day AS timestamptz) AND s.slot < :day + interval '24 hours' GROUP BY 1
    UNION ALL
    SELECT channel_id, -n_slots, -n_late, 0 FROM daily_counts
    WHERE day = (:day AT TIME ZONE 'UTC')::date AND kind = 'video.snapshot' AND reason = ''
    UNION ALL
    SELECT v.channel_id, -b.sign, CASE WHEN b.is_late THEN -b.sign ELSE 0 END, 0
    FROM counted_batches b CROSS JOIN LATERAL unnest(b.video_ids) AS one (video_id)
    JOIN videos v USING (video_id)
    WHERE b.day = (:day AT TIME ZONE 'UTC')::date
"""
FILL_DAY = f"""
    {_INTO} channel_id, (:day AT TIME ZONE 'UTC')::date, 'video.snapshot', '', sum(n), sum(late), 0
    FROM ({_TRUE_OF_DAY}) f GROUP BY 1 HAVING sum(n) <> 0 OR sum(late) <> 0
"""
FILLS = tuple(
    f"""
    {_INTO} channel_id, day, kind, reason, sum(n), sum(late), sum(entities) FROM (
        {true}
        UNION ALL
        SELECT channel_id, day, kind, reason, -n_slots, -n_late, -n_entities FROM daily_counts
        WHERE {which}
    ) f GROUP BY 1, 2, 3, 4 HAVING sum(n) <> 0 OR sum(late) <> 0 OR sum(entities) <> 0
    """
    for which, true in (
        (
            "kind = 'channel.snapshot' AND reason = ''",
            f"""
            SELECT channel_id, {_DAY} AS day, 'channel.snapshot' AS kind, '' AS reason,
                count(*) AS n, count(*) FILTER (WHERE {_LATE}) AS late, 0 AS entities
            FROM channel_snapshots GROUP BY 1, 2
            """,
        ),
        (
            "reason NOT IN ('', 'notDiscovered')",
            f"""
            SELECT m.channel_id, {_DAY} AS day, m.kind, m.reason, count(*) AS n, 0 AS late,
                count(DISTINCT m.entity_id) AS entities
            FROM missed_slots m CROSS JOIN LATERAL {_MISSED} WHERE NOT {_NO_GAP} GROUP BY 1, 2, 3, 4
            """,
        ),
        (
            "reason = 'notDiscovered'",
            f"""
            SELECT v.channel_id, {_DAY} AS day, 'video.snapshot' AS kind, 'notDiscovered' AS reason,
                count(*) AS n, 0 AS late, count(*) AS entities
            FROM videos v JOIN channels c USING (channel_id)
            CROSS JOIN LATERAL {_FOUND.format(v="v")}
            WHERE {_FOUND_LATE.format(v="v", c="c")} GROUP BY 1, 2
            """,
        ),
    )
)


def upgrade() -> None:
    patiently(op.get_bind(), _begin)
    with op.get_context().autocommit_block():
        _fill(op.get_bind())


def _begin() -> None:
    """Make what keeps itself true from here on. Each may be there: a try was killed after it."""
    _make_tables()
    for signature, said, body in FUNCTIONS:
        op.execute(f"CREATE OR REPLACE FUNCTION {signature} {body}")
        op.execute(f"COMMENT ON FUNCTION {signature} IS '{said}'")
    for name, _, what in TRIGGERS:
        op.execute(f"CREATE OR REPLACE TRIGGER {name} {what}")


def _fill(connection: sa.Connection) -> None:
    """Count what was there before the triggers: what there is, less what was noted already.

    A statement sees both at one moment, whatever is written meanwhile.
    """
    days = connection.scalars(
        sa.text(
            """
            SELECT generate_series(min(at), max(at), interval '24 hours') FROM (
                SELECT date_trunc('day', min(slot), 'UTC') AS at FROM video_snapshots
                UNION ALL
                SELECT date_trunc('day', max(slot), 'UTC') FROM video_snapshots
                UNION ALL
                -- Of a try before, whose snapshots may have gone since.
                SELECT day::timestamp AT TIME ZONE 'UTC' FROM daily_counts
            ) f
            """
        )
    ).all()
    for day in days:
        connection.execute(sa.text(FILL_DAY), {"day": day})
    for statement in FILLS:
        connection.execute(sa.text(statement))
    connection.execute(sa.text("VACUUM ANALYZE daily_counts"))


def _make_tables() -> None:
    op.create_table(
        "daily_counts",
        sa.Column("daily_count_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("channel_id", sa.Text(), nullable=False),
        sa.Column(
            "day", sa.Date(), nullable=False, comment="the UTC day on which the slots fell due"
        ),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column(
            "reason",
            sa.Text(),
            nullable=False,
            comment="why they were missed; empty: they were collected",
        ),
        sa.Column("n_slots", sa.BigInteger(), nullable=False),
        sa.Column("n_late", sa.BigInteger(), nullable=False, comment=_LATE_SLOTS),
        sa.Column(
            "n_entities",
            sa.BigInteger(),
            nullable=False,
            comment="videos or channels that were missed",
        ),
        sa.ForeignKeyConstraint(
            ["channel_id"],
            ["channels.channel_id"],
            name=op.f("fk_daily_counts_channel_id_channels"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("daily_count_id", name=op.f("pk_daily_counts")),
        if_not_exists=True,
    )
    by_day = ("day DESC", "channel_id", "kind", "reason")
    for name, columns, sums, which in (
        ("ix_daily_counts_day", by_day, ("n_slots", "n_late", "n_entities"), None),
        (
            "ix_daily_counts_channel_id_day",
            ("channel_id", "day DESC", "kind", "reason"),
            ("n_slots", "n_late", "n_entities"),
            None,
        ),
        ("ix_daily_counts_missed", by_day, ("n_slots", "n_entities"), "reason <> ''"),
    ):
        op.create_index(
            name,
            "daily_counts",
            [sa.text(column) for column in columns],
            if_not_exists=True,
            postgresql_include=list(sums),
            postgresql_where=which and sa.text(which),
        )
    op.create_table(
        "counted_batches",
        sa.Column("counted_batch_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column(
            "day", sa.Date(), nullable=False, comment="the UTC day on which the slots fell due"
        ),
        sa.Column(
            "is_late",
            sa.Boolean(),
            nullable=False,
            comment="taken more than an hour after the slot",
        ),
        sa.Column("sign", sa.BigInteger(), nullable=False, comment="1: added, -1: removed"),
        sa.Column("video_ids", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.CheckConstraint("sign IN (-1, 1)", name=op.f("ck_counted_batches_sign_known")),
        sa.PrimaryKeyConstraint("counted_batch_id", name=op.f("pk_counted_batches")),
        if_not_exists=True,
    )
    # Compressing ids costs the ingest more than their pages do for a minute.
    op.execute("ALTER TABLE counted_batches ALTER COLUMN video_ids SET STORAGE EXTERNAL")


def downgrade() -> None:
    for name, table, _ in TRIGGERS:
        op.execute(f"DROP TRIGGER {name} ON {table}")
    for signature, _, _ in reversed(FUNCTIONS):
        op.execute(f"DROP FUNCTION {signature}")
    op.drop_table("counted_batches")
    op.drop_table("daily_counts")
