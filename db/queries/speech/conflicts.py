"""Clips that a person should listen to: what is said of them and what is heard do not agree."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session


def looked_at(session: Session, *, before: int | None, most: int) -> int | None:
    """Return the last of the ``most`` current clips before one; None if those are all there are."""
    found: int | None = session.scalar(
        text(
            f"""
            SELECT clip_id FROM audio_clips
            WHERE is_current {"" if before is None else "AND clip_id < :before"}
            ORDER BY clip_id DESC LIMIT 1 OFFSET :skipped
            """
        ),
        {"before": before, "skipped": most - 1},
    )
    return found


def undecided(
    session: Session,
    *,
    model_version_id: int | None,
    before: int | None,
    down_to: int | None,
    limit: int,
) -> list[dict[str, Any]]:
    """Return current clips without a label by hand that contradict themselves, the newest first.

    Either their claims name several languages, or a model hears another one than is in force.

    Args:
        session: The unit of work.
        model_version_id: Who listens; None: only claims are compared.
        before: Clip of the last one of the page before; None: the first page.
        down_to: No earlier clip than this is looked at; None: all are.
        limit: The most to return.
    """
    rows = session.execute(
        text(
            f"""
            SELECT a.clip_id, a.video_id, v.title, v.channel_id, c.title AS channel_title,
                a.purged_at, l.claims, s.language AS heard, s.p_en, s.p_zh
            FROM audio_clips a
            JOIN videos v USING (video_id)
            JOIN channels c USING (channel_id)
            CROSS JOIN LATERAL (
                SELECT language, source, claims, is_conflicting
                FROM language_labels_in_force WHERE video_id = a.video_id
            ) l
            LEFT JOIN language_scores s ON s.clip_id = a.clip_id AND s.segment_id IS NULL
                AND s.model_version_id = :model
            WHERE a.is_current AND l.source <> 'hand'
              AND (l.is_conflicting OR s.language IN ('en', 'zh') AND s.language <> l.language)
              {"" if before is None else "AND a.clip_id < :before"}
              {"" if down_to is None else "AND a.clip_id >= :down_to"}
            ORDER BY a.clip_id DESC
            LIMIT :limit
            """
        ),
        {"model": model_version_id, "before": before, "down_to": down_to, "limit": limit},
    ).mappings()
    return [dict(row) for row in rows]


def segments_of(
    session: Session, clip_ids: Collection[int], *, model_version_id: int | None
) -> list[dict[str, Any]]:
    """Return the segments of clips in the order of time, with what a model hears in each."""
    rows = session.execute(
        text(
            """
            SELECT g.segment_id, g.clip_id, g.start_s, g.length_s, g.flac_sha256, s.language
            FROM speech_segments g
            JOIN audio_clips a ON a.clip_id = g.clip_id AND a.cutting_version = g.cutting_version
            LEFT JOIN language_scores s ON s.segment_id = g.segment_id
                AND s.model_version_id = :model
            WHERE g.clip_id = ANY(:clips)
            ORDER BY g.clip_id, g.start_s
            """
        ),
        {"clips": list(clip_ids), "model": model_version_id},
    ).mappings()
    return [dict(row) for row in rows]


def labelled_last(session: Session, *, limit: int) -> list[dict[str, Any]]:
    """Return the newest labels by hand that are in force."""
    rows = session.execute(
        text(
            """
            SELECT l.video_id, v.title, l.language, l.labelled_by, l.labelled_at
            FROM language_labels l JOIN videos v USING (video_id)
            WHERE l.ended_at IS NULL ORDER BY l.label_id DESC LIMIT :limit
            """
        ),
        {"limit": limit},
    ).mappings()
    return [dict(row) for row in rows]
