"""Completeness and its gaps are read from daily counts; known videos' newest counts are updated.

The new versions of both views miss no slot of a channel that is not watched. The trigger that notes
newest counts updated each by trying to insert it first, which cost the ingest a tenth.

Revision ID: 0024
Revises: 0023
"""

from functools import partial

from alembic import op

from db.ddl import drop_concurrently, index_concurrently, lock_views, patiently
from db.views import view_sql

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

INDEX = "ix_work_items_held"
VIEWS = (("completeness_gaps", 3, 4), ("completeness", 1, 2))
"""Views that are replaced, the version before and after."""

_BY_KEY = "SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off"
_PER_DAY = (
    "{row}.view_count / greatest(extract(epoch FROM {row}.captured_at - {began}.began_at) "
    "/ 86400, 1)::double precision"
)
_NEWEST = """
    SELECT DISTINCT ON (video_id) video_id, slot, captured_at, view_count
    FROM added WHERE view_count IS NOT NULL ORDER BY video_id, slot DESC
"""
_INSERT = f"""
    INSERT INTO newest_counts AS n
        (video_id, began_at, slot, captured_at, view_count, views_per_day)
    SELECT a.video_id, b.began_at, a.slot, a.captured_at, a.view_count,
        {_PER_DAY.format(row="a", began="b")}
    FROM ({_NEWEST}) a
    CROSS JOIN LATERAL (
        SELECT coalesce(v.actual_start_at, v.published_at) AS began_at
        FROM videos v WHERE v.video_id = a.video_id OFFSET 0
    ) b
    {{new}}
    ON CONFLICT (video_id) DO UPDATE SET slot = excluded.slot,
        captured_at = excluded.captured_at, view_count = excluded.view_count,
        views_per_day = {_PER_DAY.format(row="excluded", began="n")}
    WHERE n.slot IS NULL OR excluded.slot > n.slot
"""
_UPDATE = f"""
    UPDATE newest_counts n SET slot = a.slot, captured_at = a.captured_at,
        view_count = a.view_count, views_per_day = {_PER_DAY.format(row="a", began="n")}
    FROM ({_NEWEST}) a
    WHERE n.video_id = a.video_id AND (n.slot IS NULL OR a.slot > n.slot)
"""
_UNKNOWN = "WHERE NOT EXISTS (SELECT FROM newest_counts k WHERE k.video_id = a.video_id)"
NOTE_SNAPSHOTS = f"""
    CREATE OR REPLACE FUNCTION note_snapshots() RETURNS trigger LANGUAGE plpgsql {_BY_KEY} AS $$
    DECLARE
        updated bigint; one record;
    BEGIN
        -- By the key of each, however many there are: a join might go the other way round.
        {_UPDATE};
        GET DIAGNOSTICS updated = ROW_COUNT;
        IF updated < (SELECT count(*) FROM added) THEN
            {_INSERT.format(new=_UNKNOWN)};
        END IF;
        -- In statements of their own: they see what was scored while the rows were waited for.
        IF EXISTS (SELECT FROM current_scores) THEN
            FOR one IN
                SELECT n.video_id, n.views_per_day FROM ({_NEWEST}) a CROSS JOIN LATERAL (
                    SELECT * FROM newest_counts n
                    WHERE n.video_id = a.video_id AND n.slot = a.slot OFFSET 0
                ) n
            LOOP
                UPDATE current_scores SET views_per_day = one.views_per_day
                WHERE video_id = one.video_id;
            END LOOP;
        END IF;
        RETURN NULL;
    END $$
"""
NOTE_SNAPSHOTS_BEFORE = f"""
    CREATE OR REPLACE FUNCTION note_snapshots() RETURNS trigger LANGUAGE plpgsql {_BY_KEY} AS $$
    DECLARE
        ids text[]; rates double precision[];
    BEGIN
        WITH noted AS ({_INSERT.format(new="")} RETURNING n.video_id, n.views_per_day)
            SELECT array_agg(video_id), array_agg(views_per_day) INTO ids, rates FROM noted;
        IF EXISTS (SELECT FROM current_scores) THEN
            FOR i IN 1 .. coalesce(cardinality(ids), 0) LOOP
                UPDATE current_scores SET views_per_day = rates[i] WHERE video_id = ids[i];
            END LOOP;
        END IF;
        RETURN NULL;
    END $$
"""


def upgrade() -> None:
    with op.get_context().autocommit_block():
        index_concurrently(op.get_bind(), INDEX, "ON work_items (slot) WHERE is_held")
    op.execute(NOTE_SNAPSHOTS)
    patiently(op.get_bind(), partial(_replace_views, 2))


def downgrade() -> None:
    _replace_views(1)
    op.execute("DROP FUNCTION overdue_slots")
    op.execute(NOTE_SNAPSHOTS_BEFORE)
    with op.get_context().autocommit_block():
        drop_concurrently(op.get_bind(), INDEX)


def _replace_views(which: int) -> None:
    """Put other versions of views, of the same columns, in their place."""
    lock_views(op.get_bind())
    for view in VIEWS:
        statements = view_sql(str(view[0]), int(view[which]))
        op.execute(statements.replace("CREATE VIEW", "CREATE OR REPLACE VIEW"))
