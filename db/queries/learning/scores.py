"""What models of thumbnails say of videos."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from db.models import Score
from db.queries import bulk


def add(session: Session, rows: Sequence[Mapping[str, Any]]) -> int:
    """Write scores; one that exists for its video, thumbnail and model stays. Return how many."""
    return bulk.append(session, Score, rows)


def of_rows(
    session: Session,
    video_ids: Sequence[str],
    thumbnails: Sequence[str | None],
    *,
    model_version_ids: Collection[int],
) -> list[tuple[int, int, float, float]]:
    """Return (place, model_version_id, probability, log10) of what models said of some rows.

    Args:
        session: The unit of work.
        video_ids: Of a page of rows; each is looked up by itself, however many scores there are.
        thumbnails: The pictures of the same rows.
        model_version_ids: Whose scores.

    Returns:
        One for each score there is; the place is that in ``video_ids``, from 0.
    """
    # OFFSET 0 keeps the look-up from becoming a scan of the table, page after page.
    statement = text(
        """
        SELECT asked.place - 1, s.model_version_id, s.probability_over, s.log10_views_per_day
        FROM unnest(CAST(:videos AS text[]), CAST(:thumbnails AS text[]))
            WITH ORDINALITY AS asked (video_id, thumbnail_sha256, place)
        CROSS JOIN LATERAL (
            SELECT model_version_id, probability_over, log10_views_per_day FROM scores
            WHERE video_id = asked.video_id AND thumbnail_sha256 = asked.thumbnail_sha256
              AND model_version_id = ANY(:models)
            OFFSET 0
        ) s
        """
    )
    values = {
        "videos": list(video_ids),
        "thumbnails": list(thumbnails),
        "models": list(model_version_ids),
    }
    return [(place, m, p, y) for place, m, p, y in session.execute(statement, values)]


def lacking(
    session: Session,
    video_ids: Sequence[str],
    thumbnails: Sequence[str | None],
    *,
    model_version_ids: Collection[int],
) -> list[int]:
    """Return the places of rows whose video is known and lacks a score of any of the models.

    Args, places:
        As :func:`of_rows`.
    """
    statement = text(
        """
        SELECT asked.place - 1
        FROM unnest(CAST(:videos AS text[]), CAST(:thumbnails AS text[]))
            WITH ORDINALITY AS asked (video_id, thumbnail_sha256, place)
        CROSS JOIN LATERAL (
            SELECT count(*) AS n FROM scores
            WHERE video_id = asked.video_id AND thumbnail_sha256 = asked.thumbnail_sha256
              AND model_version_id = ANY(:models)
        ) s
        WHERE s.n < :n_models
          AND EXISTS (SELECT FROM videos v WHERE v.video_id = asked.video_id)
        ORDER BY 1
        """
    )
    values = {
        "videos": list(video_ids),
        "thumbnails": list(thumbnails),
        "models": list(model_version_ids),
        "n_models": len(set(model_version_ids)),
    }
    return list(session.scalars(statement, values))
