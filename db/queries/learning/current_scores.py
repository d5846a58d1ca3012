"""The scores of what videos show now, kept for the models that users read (``CurrentScore``)."""

from collections.abc import Collection
from typing import Any, cast

from sqlalchemy import CursorResult, text
from sqlalchemy.orm import Session


def models(session: Session) -> set[int]:
    """Return the model versions of which they are kept: those in use, and the newest."""
    return set(session.scalars(text("SELECT scored_models()")))


def take_up(session: Session, model_version_ids: Collection[int]) -> int:
    """Keep the scores of further models from now on; return how many there are.

    Reads all scores of the models, in the transaction that promotes them.
    """
    if not model_version_ids:
        return 0
    values = {"models": list(model_version_ids)}
    added = session.execute(
        text(
            """
            INSERT INTO current_scores (video_id, model_version_id, rung, probability_over,
                log10_views_per_day, scored_at, views_per_day)
            SELECT s.video_id, s.model_version_id, m.rung, s.probability_over,
                s.log10_views_per_day, s.scored_at, n.views_per_day
            FROM scores s
            JOIN model_versions m ON m.model_version_id = s.model_version_id
            JOIN video_thumbnails t ON t.video_id = s.video_id AND t.is_current
                AND t.thumbnail_sha256 = s.thumbnail_sha256
            LEFT JOIN newest_counts n ON n.video_id = s.video_id
            WHERE s.model_version_id = ANY(:models)
            ON CONFLICT DO NOTHING
            """
        ),
        values,
    )
    # Whoever appended counts meanwhile did not see these rows. Now nobody does, and what they
    # wrote is seen.
    session.execute(text("LOCK TABLE newest_counts IN SHARE MODE"))
    session.execute(
        text(
            """
            UPDATE current_scores s SET views_per_day = n.views_per_day
            FROM newest_counts n
            WHERE n.video_id = s.video_id AND s.model_version_id = ANY(:models)
              AND s.views_per_day IS DISTINCT FROM n.views_per_day
            """
        ),
        values,
    )
    return cast("CursorResult[Any]", added).rowcount


def forget(session: Session) -> int:
    """Let go of what models say that are neither in use nor the newest; return how many scores.

    They stay in ``scores``. Nobody may decide about a champion meanwhile
    (``promotions.lock_task``).
    """
    gone = session.execute(
        text(
            "DELETE FROM current_scores "
            "WHERE model_version_id <> ALL(ARRAY(SELECT scored_models()))"
        )
    )
    return cast("CursorResult[Any]", gone).rowcount
