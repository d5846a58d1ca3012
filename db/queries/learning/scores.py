"""What models of thumbnails say of videos."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from db.models import Score
from db.queries.arrays import among


def add(session: Session, rows: Sequence[Mapping[str, Any]]) -> int:
    """Write scores; one that exists for its video, thumbnail and model stays. Return how many."""
    if not rows:
        return 0
    statement = insert(Score).values(list(rows)).on_conflict_do_nothing().returning(Score.video_id)
    return len(session.execute(statement).all())


def of_models(
    session: Session, *, model_version_ids: Collection[int]
) -> list[tuple[str, str, int, float, float]]:
    """Return (video_id, thumbnail_sha256, model_version_id, probability, log10) of models."""
    statement = select(
        Score.video_id,
        Score.thumbnail_sha256,
        Score.model_version_id,
        Score.probability_over,
        Score.log10_views_per_day,
    ).where(Score.model_version_id.in_(model_version_ids))
    return [(v, t, m, p, y) for v, t, m, p, y in session.execute(statement)]


def fully_scored(
    session: Session, video_ids: Collection[str], *, model_version_ids: Collection[int]
) -> set[tuple[str, str]]:
    """Return the (video_id, thumbnail_sha256) of videos that every one of the models scored."""
    rows = session.execute(
        select(Score.video_id, Score.thumbnail_sha256)
        .where(among(Score.video_id, video_ids), Score.model_version_id.in_(model_version_ids))
        .group_by(Score.video_id, Score.thumbnail_sha256)
        .having(func.count() == len(set(model_version_ids)))
    )
    return {(video, picture) for video, picture in rows}
