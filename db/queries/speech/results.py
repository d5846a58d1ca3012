"""Which language models hear in clips, a page of clips after the other."""

from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from db.models import AudioClip


def page(session: Session, *, after: int, limit: int) -> tuple[list[dict[str, Any]], int | None]:
    """Return what models say of some clips, by their ids, one row for each clip and model.

    Args:
        session: The unit of work.
        after: The id of the last clip of the page before; 0 for the first.
        limit: Clips.

    Returns:
        The rows of the view ``language_results``, and the last clip's id if there are more.
    """
    found = session.scalars(
        select(AudioClip.clip_id)
        .where(AudioClip.is_current, AudioClip.clip_id > after)
        .order_by(AudioClip.clip_id)
        .limit(limit + 1)
    ).all()
    shown = list(found[:limit])
    rows = session.execute(
        text(
            """
            SELECT r.* FROM unnest(CAST(:ids AS bigint[])) AS one (clip_id)
            CROSS JOIN LATERAL (
                SELECT * FROM language_results WHERE clip_id = one.clip_id
                OFFSET 0  -- clip by clip: together, all scores there are would be read
            ) r
            ORDER BY r.clip_id, r.rung
            """
        ),
        {"ids": shown},
    )
    return [dict(row) for row in rows.mappings()], shown[-1] if len(found) > limit else None
