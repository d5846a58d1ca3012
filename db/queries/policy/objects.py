"""Objects of the store: which pictures are past their time, and which objects some row needs."""

from collections.abc import Collection, Iterator
from datetime import datetime

from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from db.queries.policy.retention import Limit

# A picture is due when no video has shown it since the limit.
_PICTURES = """
    FROM thumbnails t
    WHERE t.purged_at IS NULL AND t.thumbnail_sha256 > :after AND t.stored_at < :general
      AND NOT EXISTS (
        SELECT FROM video_thumbnails vt JOIN videos v USING (video_id)
        WHERE vt.thumbnail_sha256 = t.thumbnail_sha256
          AND vt.last_seen_at >= CASE
            WHEN v.channel_id = ANY(:channels) THEN :approved ELSE :general END
      )
"""


def due_pictures(session: Session, limit: Limit, *, after: str, batch: int) -> list[str]:
    """Return the next pictures that are due, by hash, beginning after one."""
    statement = text(f"SELECT t.thumbnail_sha256 {_PICTURES} ORDER BY 1 LIMIT :batch")
    values = {**limit.values, "after": after, "batch": batch}
    return list(session.scalars(statement, values))


def purge_pictures(
    session: Session, limit: Limit, hashes: Collection[str], *, now: datetime
) -> list[str]:
    """Mark pictures as purged, those that are still due; return them, locked until the commit."""
    statement = text(
        f"""
        UPDATE thumbnails SET purged_at = :now
        WHERE thumbnail_sha256 IN (
            SELECT t.thumbnail_sha256 {_PICTURES} AND t.thumbnail_sha256 = ANY(:hashes) FOR UPDATE
        )
        RETURNING thumbnail_sha256
        """
    )
    values = {**limit.values, "after": "", "hashes": list(hashes), "now": now}
    return list(session.scalars(statement, values))


def scored_pictures(session: Session, hashes: Collection[str]) -> int:
    """Count those of the pictures that scores speak of."""
    # Scores are found by their videos: what showed a picture is known by index.
    statement = text(
        """
        SELECT count(*) FROM unnest(CAST(:hashes AS text[])) AS asked (thumbnail_sha256)
        WHERE EXISTS (
            SELECT FROM video_thumbnails t
            JOIN scores s ON s.video_id = t.video_id AND s.thumbnail_sha256 = t.thumbnail_sha256
            WHERE t.thumbnail_sha256 = asked.thumbnail_sha256
        )
        """
    )
    return int(session.execute(statement, {"hashes": list(hashes)}).scalar_one())


def datasets_in_use(session: Session) -> list[tuple[str, dict[str, str]]]:
    """Return (id, files) of the newest dataset of views and of those of models that score.

    Those are the newest ones, and the champion with what was trained together with it.
    """
    rows = session.execute(
        text(
            """
            SELECT dataset_id, files FROM datasets WHERE dataset_id IN (
                (SELECT dataset_id FROM datasets WHERE task = 'thumbnails'
                 ORDER BY as_of DESC LIMIT 1)
                UNION
                SELECT dataset_id FROM (
                    SELECT DISTINCT ON (rung) dataset_id FROM model_versions
                    WHERE task = 'thumbnails' ORDER BY rung, version DESC
                ) newest
                UNION
                SELECT dataset_id FROM champion_ladders WHERE task = 'thumbnails'
            ) ORDER BY dataset_id
            """
        )
    )
    return [(dataset_id, files) for dataset_id, files in rows]


def count_datasets_before(session: Session, moment: datetime) -> int:
    """Count the frozen datasets that hold statistics from before a moment."""
    statement = text("SELECT count(*) FROM datasets WHERE task = 'thumbnails' AND as_of < :moment")
    return int(session.execute(statement, {"moment": moment}).scalar_one())


_REFERENCES = (
    ("thumbnail_sha256", "thumbnails", "purged_at IS NULL"),
    (
        "value",
        "datasets, jsonb_each_text(files)",
        "(pictures_purged_at IS NULL OR key NOT LIKE '%.tar')",
    ),
    ("value", "model_versions, jsonb_each_text(files)", "true"),
    ("pack_sha256", "embedding_packs", "true"),
    ("audio_sha256", "audio_clips", "purged_at IS NULL"),
    ("flac_sha256", "speech_segments JOIN audio_clips USING (clip_id)", "purged_at IS NULL"),
)
"""Column, tables and condition of every row that speaks of an object."""


def referenced_objects(session: Session, names: Collection[str]) -> set[str]:
    """Return those of the objects that some row speaks of."""
    statement = " UNION ".join(
        f"SELECT {column} FROM {tables} WHERE {column} = ANY(:names) AND {condition}"
        for column, tables, condition in _REFERENCES
    )
    return set(session.scalars(text(statement), {"names": list(names)}))


def all_referenced(connection: Connection) -> Iterator[str]:
    """Yield every object that some row speaks of, each once; the rows are not held in memory."""
    statement = " UNION ".join(
        f"SELECT {column} FROM {tables} WHERE {condition}"
        for column, tables, condition in _REFERENCES
    )
    driver = connection.connection.driver_connection
    assert driver is not None, "the connection is open"
    with driver.cursor() as cursor, cursor.copy(f"COPY ({statement}) TO STDOUT") as copy:
        for (name,) in copy.rows():
            yield name
