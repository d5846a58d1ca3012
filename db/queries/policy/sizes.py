"""How large everything is: cheaply, by what PostgreSQL knows and by samples, never by counting."""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from db.models import Size

SAMPLED_PAGES = 200

Row = tuple[str, int, int]
"""A kind, its rows or objects, its bytes."""


def tables(session: Session) -> list[Row]:
    """Return each table with its rows, as last analysed, and its bytes with indexes."""
    found = session.execute(
        text(
            """
            SELECT coalesce(p.inhparent, c.oid)::regclass::text,
                   sum(greatest(c.reltuples, 0))::bigint,
                   sum(pg_total_relation_size(c.oid))::bigint
            FROM pg_class c LEFT JOIN pg_inherits p ON p.inhrelid = c.oid
            WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace
              -- The parent of partitions counts as analysed only by hand.
              AND NOT (c.relkind = 'p' AND EXISTS (
                SELECT FROM pg_inherits WHERE inhparent = c.oid
              ))
            GROUP BY 1 ORDER BY 1
            """
        )
    )
    return [(name, rows, size) for name, rows, size in found]


_OBJECTS = {
    "pictures": ("thumbnails", "o.purged_at IS NULL", ""),
    "audio": ("audio_clips", "o.purged_at IS NULL", ""),
    "segments": ("speech_segments", "c.purged_at IS NULL", "JOIN audio_clips c USING (clip_id)"),
    "packs of image features": ("embedding_packs", "true", ""),
}


def objects(session: Session) -> list[Row]:
    """Return what of each kind is in the store: from a sample where there are many."""
    found = []
    for kind, (table, held, joined) in _OBJECTS.items():
        pages = session.execute(
            text("SELECT pg_relation_size(CAST(:t AS regclass)) / 8192"), {"t": table}
        ).scalar_one()
        percent = min(100.0, 100.0 * SAMPLED_PAGES / max(pages, 1))
        n, size = session.execute(
            text(
                f"SELECT count(*), coalesce(sum(o.byte_size), 0) FROM {table} o "
                f"TABLESAMPLE SYSTEM ({percent}) REPEATABLE (1) {joined} WHERE {held}"
            )
        ).one()
        found.append((kind, round(n * 100 / percent), round(int(size) * 100 / percent)))
    return found


def learned_objects(session: Session) -> Sequence[str]:
    """Return the objects of datasets and models, by name; there are few of them."""
    return session.scalars(
        text(
            """
            SELECT value FROM datasets, jsonb_each_text(files)
            WHERE pictures_purged_at IS NULL OR key NOT LIKE '%.tar'
            UNION SELECT value FROM model_versions, jsonb_each_text(files)
            """
        )
    ).all()


def record(session: Session, rows: Collection[Row], *, now: datetime) -> None:
    """Note what was measured."""
    session.execute(
        insert(Size)
        .values(
            [
                {"measured_at": now, "kind": kind, "n_rows": n, "bytes": size}
                for kind, n, size in rows
            ]
        )
        .on_conflict_do_nothing()
    )


def first_since(session: Session, moment: datetime) -> tuple[datetime | None, dict[str, int]]:
    """Return the first measurement from a moment on: when, and the bytes of each kind."""
    found = session.execute(
        text(
            "SELECT measured_at, kind, bytes FROM sizes WHERE measured_at = "
            "(SELECT min(measured_at) FROM sizes WHERE measured_at >= :moment)"
        ),
        {"moment": moment},
    ).all()
    return (found[0][0] if found else None), {kind: size for _, kind, size in found}


def forget(session: Session, *, before: datetime) -> None:
    """Delete what was measured before a moment."""
    session.execute(text("DELETE FROM sizes WHERE measured_at < :m"), {"m": before})
