"""The newest counts and the scores in use stand beside the video, ready to be ordered and added up.

``newest_counts`` and ``current_scores`` are filled by triggers, so that whoever writes snapshots,
scores or pictures leaves them true. What is there already is filled in parts, each its own
transaction: nobody waits for longer than one of them, and one that is killed goes on.

Revision ID: 0019
Revises: 0018
"""

from functools import partial

import sqlalchemy as sa
from alembic import op

from db.ddl import forget_parts, in_parts, index_concurrently, lock_views, patiently
from db.views import view_sql

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

BATCH = 2_000
INDEXES = {
    "ix_video_thumbnails_swapped_at": "video_thumbnails (first_seen_at) WHERE version > 1",
    "ix_work_items_held_back": (
        "work_items (slot) WHERE slot IS NOT NULL AND (ready_at IS NULL OR ready_at > slot)"
    ),
}
VIEWS = (
    ("scored_videos", 3, 4),
    ("thumbnail_changes", 1, 2),
    ("completeness_gaps", 2, 3),
    ("language_claims", 1, 2),
    ("language_labels_in_force", 1, 2),
)
"""Views that are replaced, the version before and after."""

# Plans of triggers are kept for as long as a session: they must be right for tables that have grown
# since. Every way through a key is.
_BY_KEY = "SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off"
# Of each id what its keys lead to, whatever is known of the tables' sizes: OFFSET 0 lets no join go
# the other way round, through all rows for each of the ids of a large import.
_EACH = "(SELECT DISTINCT unnest(ids) AS id ORDER BY 1) asked CROSS JOIN LATERAL"
_BEGAN = "coalesce(v.actual_start_at, v.published_at)"
_PER_DAY = "{views} / greatest(extract(epoch FROM {at} - {began}) / 86400, 1)::double precision"

FUNCTIONS = (
    (
        "scored_models()",
        (
            "The versions whose scores stand in current_scores: the champion's ladder, and of each "
            "rung the newest that has scored anything."
        ),
        """
        RETURNS SETOF bigint LANGUAGE sql STABLE AS $$
            SELECT model_version_id FROM champion_ladders WHERE task = 'thumbnails'
            UNION
            SELECT newest.model_version_id
            FROM (SELECT DISTINCT rung FROM model_versions WHERE task = 'thumbnails') r
            CROSS JOIN LATERAL (
                SELECT m.model_version_id FROM model_versions m
                WHERE m.task = 'thumbnails' AND m.rung = r.rung
                  AND EXISTS (SELECT FROM scores s WHERE s.model_version_id = m.model_version_id)
                ORDER BY m.version DESC LIMIT 1
            ) newest
        $$
        """,
    ),
    (
        "hold_counts(ids text[])",
        (
            "Lets nobody else change the newest counts and current scores of videos until the "
            "transaction ends."
        ),
        f"""
        RETURNS void LANGUAGE plpgsql {_BY_KEY} AS $$ BEGIN
            INSERT INTO newest_counts (video_id, began_at)
                SELECT id, began FROM {_EACH} (
                    SELECT {_BEGAN} AS began FROM videos v WHERE v.video_id = id OFFSET 0
                ) v
                ON CONFLICT DO NOTHING;
            PERFORM FROM {_EACH} (
                SELECT FROM newest_counts WHERE video_id = id FOR NO KEY UPDATE
            ) n;
        END $$
        """,
    ),
    (
        "set_newest_counts(ids text[])",
        "Reads the newest counts of videos from the snapshots that there are.",
        f"""
        RETURNS void LANGUAGE plpgsql {_BY_KEY} AS $$ DECLARE one record; BEGIN
            PERFORM hold_counts(ids);
            FOR one IN
                SELECT n.* FROM {_EACH} (
                    SELECT v.video_id, {_BEGAN} AS began_at, s.slot, s.captured_at, s.view_count,
                        {_PER_DAY.format(views="s.view_count", at="s.captured_at", began=_BEGAN)}
                            AS views_per_day
                    FROM videos v
                    LEFT JOIN LATERAL (
                        SELECT * FROM video_snapshots s
                        WHERE s.video_id = v.video_id AND s.view_count IS NOT NULL
                        ORDER BY s.slot DESC LIMIT 1
                    ) s ON true
                    WHERE v.video_id = id OFFSET 0
                ) n
            LOOP
                UPDATE newest_counts SET began_at = one.began_at, slot = one.slot,
                    captured_at = one.captured_at, view_count = one.view_count,
                    views_per_day = one.views_per_day
                WHERE video_id = one.video_id;
                UPDATE current_scores SET views_per_day = one.views_per_day
                WHERE video_id = one.video_id
                  AND views_per_day IS DISTINCT FROM one.views_per_day;
            END LOOP;
        END $$
        """,
    ),
    (
        "set_current_scores(ids text[], models bigint[])",
        "Takes up what models say of the pictures that videos show now.",
        f"""
        RETURNS void LANGUAGE plpgsql {_BY_KEY} AS $$ BEGIN
            PERFORM hold_counts(ids);
            INSERT INTO current_scores (video_id, model_version_id, rung, probability_over,
                log10_views_per_day, scored_at, views_per_day)
            SELECT found.* FROM {_EACH} (
                SELECT s.video_id, s.model_version_id, m.rung, s.probability_over,
                    s.log10_views_per_day, s.scored_at, n.views_per_day
                FROM newest_counts n
                JOIN video_thumbnails t ON t.video_id = n.video_id AND t.is_current
                JOIN scores s ON s.video_id = t.video_id
                    AND s.thumbnail_sha256 = t.thumbnail_sha256
                JOIN model_versions m ON m.model_version_id = s.model_version_id
                WHERE n.video_id = id AND s.model_version_id = ANY(models) OFFSET 0
            ) found
            ON CONFLICT (video_id, model_version_id) DO UPDATE SET
                probability_over = excluded.probability_over,
                log10_views_per_day = excluded.log10_views_per_day,
                scored_at = excluded.scored_at;
        END $$
        """,
    ),
    (
        "note_snapshots()",
        "The newest of the snapshots that were added, unless a newer one is known.",
        f"""
        RETURNS trigger LANGUAGE plpgsql {_BY_KEY} AS $$ DECLARE
            ids text[];
            rates double precision[];
        BEGIN
            -- By the key of each, however many there are: a join might go the other way round.
            WITH noted AS (
                INSERT INTO newest_counts AS n
                    (video_id, began_at, slot, captured_at, view_count, views_per_day)
                SELECT a.video_id, b.began_at, a.slot, a.captured_at, a.view_count,
                    {_PER_DAY.format(views="a.view_count", at="a.captured_at", began="b.began_at")}
                FROM (
                    SELECT DISTINCT ON (video_id) video_id, slot, captured_at, view_count
                    FROM added WHERE view_count IS NOT NULL ORDER BY video_id, slot DESC
                ) a
                CROSS JOIN LATERAL (
                    SELECT {_BEGAN} AS began_at FROM videos v WHERE v.video_id = a.video_id OFFSET 0
                ) b
                ON CONFLICT (video_id) DO UPDATE SET slot = excluded.slot,
                    captured_at = excluded.captured_at, view_count = excluded.view_count,
                    views_per_day = {
            _PER_DAY.format(
                views="excluded.view_count", at="excluded.captured_at", began="n.began_at"
            )
        }
                WHERE n.slot IS NULL OR excluded.slot > n.slot
                RETURNING n.video_id, n.views_per_day
            )
            SELECT array_agg(video_id), array_agg(views_per_day) INTO ids, rates FROM noted;
            -- In statements of their own: they see what was scored while the rows were waited for.
            IF EXISTS (SELECT FROM current_scores) THEN
                FOR i IN 1 .. coalesce(cardinality(ids), 0) LOOP
                    UPDATE current_scores SET views_per_day = rates[i] WHERE video_id = ids[i];
                END LOOP;
            END IF;
            RETURN NULL;
        END $$
        """,
    ),
    (
        "note_scores()",
        "Scores of pictures that are shown now, by models whose scores stand in current_scores.",
        """
        RETURNS trigger LANGUAGE plpgsql AS $$ DECLARE models bigint[]; BEGIN
            SELECT array_agg(DISTINCT model_version_id) INTO models FROM added
                WHERE model_version_id IN (SELECT scored_models());
            IF models IS NOT NULL THEN
                PERFORM set_current_scores((SELECT array_agg(video_id) FROM added), models);
            END IF;
            RETURN NULL;
        END $$
        """,
    ),
    (
        "note_picture()",
        "Another picture is shown: what was said of the one before goes, of this one is taken up.",
        f"""
        RETURNS trigger LANGUAGE plpgsql {_BY_KEY} AS $$ BEGIN
            PERFORM hold_counts(ARRAY[NEW.video_id]);
            DELETE FROM current_scores WHERE video_id = NEW.video_id;
            PERFORM set_current_scores(ARRAY[NEW.video_id], ARRAY(SELECT scored_models()));
            RETURN NULL;
        END $$
        """,
    ),
    (
        "note_beginning()",
        "Age runs from another moment.",
        """
        RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            PERFORM set_newest_counts(ARRAY[NEW.video_id]);
            RETURN NULL;
        END $$
        """,
    ),
)
TRIGGERS = (
    (
        "newest_counts",
        "video_snapshots",
        (
            "AFTER INSERT ON video_snapshots REFERENCING NEW TABLE AS added FOR EACH STATEMENT "
            "EXECUTE FUNCTION note_snapshots()"
        ),
    ),
    (
        "current_scores",
        "scores",
        (
            "AFTER INSERT ON scores REFERENCING NEW TABLE AS added FOR EACH STATEMENT "
            "EXECUTE FUNCTION note_scores()"
        ),
    ),
    (
        "current_scores_added",
        "video_thumbnails",
        # Of a video's first picture nothing was said yet.
        (
            "AFTER INSERT ON video_thumbnails FOR EACH ROW "
            "WHEN (NEW.is_current AND NEW.version > 1) "
            "EXECUTE FUNCTION note_picture()"
        ),
    ),
    (
        "current_scores_changed",
        "video_thumbnails",
        (
            "AFTER UPDATE OF is_current, thumbnail_sha256 ON video_thumbnails FOR EACH ROW "
            "WHEN (NEW.is_current AND (NOT OLD.is_current "
            "OR NEW.thumbnail_sha256 <> OLD.thumbnail_sha256)) EXECUTE FUNCTION note_picture()"
        ),
    ),
    (
        "newest_counts",
        "videos",
        (
            "AFTER UPDATE OF published_at, actual_start_at ON videos FOR EACH ROW "
            "WHEN (OLD.published_at <> NEW.published_at "
            "OR OLD.actual_start_at IS DISTINCT FROM NEW.actual_start_at) "
            "EXECUTE FUNCTION note_beginning()"
        ),
    ),
)


def upgrade() -> None:
    patiently(op.get_bind(), _begin)
    with op.get_context().autocommit_block():
        _fill(op.get_bind())
        for index, on in INDEXES.items():
            index_concurrently(op.get_bind(), index, f"ON {on}")
    patiently(op.get_bind(), partial(_replace_views, 2))
    forget_parts(op.get_bind())


def _begin() -> None:
    """Make what keeps itself true from here on. Each may be there: a try was killed after it."""
    _make_tables()
    for signature, comment, body in FUNCTIONS:
        op.execute(f"CREATE OR REPLACE FUNCTION {signature} {body}")
        name, said = signature.split("(")[0], comment.replace("'", "''")
        op.execute(f"COMMENT ON FUNCTION {name} IS '{said}'")
    for name, _, what in TRIGGERS:
        op.execute(f"CREATE OR REPLACE TRIGGER {name} {what}")


def _fill(connection: sa.Connection) -> None:
    """Fill both tables for what was there before the triggers, video by video."""
    part = "SELECT video_id FROM videos WHERE video_id > :after ORDER BY video_id LIMIT :batch"
    following = sa.text(f"SELECT array_agg(video_id) FROM ({part}) f")
    models = connection.scalar(sa.text("SELECT array_agg(m) FROM scored_models() m"))

    def fill(after: str) -> str | None:
        if not (ids := connection.scalar(following, {"after": after, "batch": BATCH})):
            return None
        connection.execute(sa.text("SELECT set_newest_counts(:ids)"), {"ids": ids})
        if models:
            scored = sa.text("SELECT set_current_scores(:ids, :models)")
            connection.execute(scored, {"ids": ids, "models": models})
        return str(ids[-1])

    in_parts(connection, f"0019 {sorted(models or ())}", fill)  # of other models none is done yet
    for table in ("newest_counts", "current_scores"):
        connection.execute(sa.text(f"VACUUM ANALYZE {table}"))


def _make_tables() -> None:
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "newest_counts",
        sa.Column("video_id", sa.Text(), nullable=False),
        sa.Column("began_at", moment, nullable=False, comment="when its views began to count"),
        sa.Column("slot", moment, nullable=True),
        sa.Column("captured_at", moment, nullable=True),
        sa.Column(
            "view_count", sa.BigInteger(), nullable=True, comment="NULL: none is known, or kept"
        ),
        sa.Column(
            "views_per_day",
            sa.Float(),
            nullable=True,
            comment="lifetime average: views divided by age in days (at least one)",
        ),
        sa.CheckConstraint(
            "num_nulls(slot, captured_at, view_count) IN (0, 3)",
            name=op.f("ck_newest_counts_whole"),
        ),
        sa.ForeignKeyConstraint(
            ["video_id"],
            ["videos.video_id"],
            name=op.f("fk_newest_counts_video_id_videos"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("video_id", name=op.f("pk_newest_counts")),
        postgresql_with={"fillfactor": 70},
        if_not_exists=True,
    )
    op.create_table(
        "current_scores",
        sa.Column("video_id", sa.Text(), nullable=False),
        sa.Column("model_version_id", sa.BigInteger(), nullable=False),
        sa.Column("rung", sa.Text(), nullable=False),
        sa.Column("probability_over", sa.Float(), nullable=False),
        sa.Column("log10_views_per_day", sa.Float(), nullable=False),
        sa.Column("scored_at", moment, nullable=False),
        sa.Column("views_per_day", sa.Float(), nullable=True),
        sa.Column(
            "log10_residual",
            sa.Float(),
            sa.Computed("log(views_per_day + 1) - log10_views_per_day", persisted=True),
            nullable=True,
        ),
        *(
            sa.ForeignKeyConstraint(
                [column],
                [f"{table}.{column}"],
                name=op.f(f"fk_current_scores_{column}_{table}"),
                ondelete="CASCADE",
            )
            for column, table in (("video_id", "videos"), ("model_version_id", "model_versions"))
        ),
        sa.PrimaryKeyConstraint("video_id", "model_version_id", name=op.f("pk_current_scores")),
        postgresql_with={"fillfactor": 90},
        if_not_exists=True,
    )
    op.create_index(
        "ix_current_scores_rung_log10_residual",
        "current_scores",
        ["rung", "log10_residual"],
        if_not_exists=True,
    )


def _replace_views(which: int) -> None:
    """Put other versions of views, of the same columns, in their place: others stand on them."""
    lock_views(op.get_bind())
    for view in VIEWS:
        statements = view_sql(str(view[0]), int(view[which]))
        op.execute(statements.replace("CREATE VIEW", "CREATE OR REPLACE VIEW"))


def downgrade() -> None:
    _replace_views(1)
    for index in INDEXES:
        op.execute(f"DROP INDEX {index}")
    for name, table, _ in TRIGGERS:
        op.execute(f"DROP TRIGGER {name} ON {table}")
    for signature, _, _ in reversed(FUNCTIONS):
        op.execute(f"DROP FUNCTION {signature}")
    op.drop_table("current_scores")
    op.drop_table("newest_counts")
