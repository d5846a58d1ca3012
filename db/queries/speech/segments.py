"""What speech models learn from, what they have yet to score, and what they predicted."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

SOURCE_TAG = "source:"
"""A channel with the tag ``source:NAME`` belongs to the source NAME; another is one by itself."""


@dataclass(frozen=True)
class UnscoredSegment:
    """A segment that lacks a score of a model, with whose voice and recording it is."""

    segment_id: int
    clip_id: int
    flac_sha256: str
    channel_id: str
    audio_sha256: str


def has_clips(session: Session) -> bool:
    """Tell whether any audio was ever collected."""
    return bool(session.execute(text("SELECT EXISTS (SELECT FROM audio_clips)")).scalar_one())


def channels_with_clips(session: Session) -> list[str]:
    """Return the channels of which audio was collected."""
    statement = text("SELECT DISTINCT channel_id FROM audio_clips JOIN videos USING (video_id)")
    return sorted(session.scalars(statement))


def unlearnable(session: Session) -> dict[str, int]:
    """Count the segments of current clips that nobody can learn from, by reason.

    Returns:
        ``purged`` (the sound was removed) and ``noLabel`` (nothing claims a language), where there
        are any.
    """
    rows = session.execute(
        text(
            """
            SELECT CASE WHEN a.purged_at IS NOT NULL THEN 'purged' ELSE 'noLabel' END AS reason,
                count(*) AS n
            FROM audio_clips a
            JOIN speech_segments s
                ON s.clip_id = a.clip_id AND s.cutting_version = a.cutting_version
            WHERE a.is_current AND (a.purged_at IS NOT NULL OR NOT EXISTS (
                SELECT FROM language_labels_in_force l WHERE l.video_id = a.video_id
            ))
            GROUP BY 1
            """
        )
    )
    return {row.reason: row.n for row in rows}


def source_groups(session: Session) -> dict[str, str]:
    """Return the source that a channel was given by its tag, by channel."""
    rows = session.execute(
        text(
            "SELECT channel_id, min(substr(tag, :skip)) AS name FROM channel_tags "
            "WHERE starts_with(tag, :prefix) GROUP BY 1"
        ),
        {"prefix": SOURCE_TAG, "skip": len(SOURCE_TAG) + 1},
    )
    return {row.channel_id: row.name for row in rows}


_LACKS = """
    EXISTS (
        SELECT FROM unnest(CAST(:models AS bigint[])) AS wanted (model) WHERE NOT EXISTS (
            SELECT FROM language_scores d
            WHERE d.model_version_id = wanted.model AND {same}
        )
    )
"""
_SEGMENT_LACKS = _LACKS.format(same="d.segment_id = s.segment_id")
_CLIPS = f"""
    FROM {{clips}} a
    WHERE a.is_current AND a.purged_at IS NULL AND (
        {_LACKS.format(same="d.clip_id = a.clip_id AND d.segment_id IS NULL")}
        OR EXISTS (
            SELECT FROM speech_segments s
            WHERE s.clip_id = a.clip_id AND s.cutting_version = a.cutting_version
              AND {_SEGMENT_LACKS}
        )
    )
"""


def count_clips_to_score(session: Session, *, model_version_ids: Collection[int]) -> int:
    """Count the current clips that lack a score, of themselves or a segment, of a model."""
    statement = text(f"SELECT count(*) {_CLIPS.format(clips='audio_clips')}")
    return int(session.execute(statement, {"models": list(model_version_ids)}).scalar_one())


@dataclass(frozen=True)
class ClipPage:
    """The next clips, and those of them that lack a score.

    Attributes:
        last: Where the next page begins; None: this was the last one.
        clip_ids: Lacking a score of one of the models, the newest first.
    """

    last: int | None
    clip_ids: Sequence[int]


def clips_to_score(
    session: Session, *, model_version_ids: Collection[int], before: int | None, limit: int
) -> ClipPage:
    """Return what lacks a score of one of the models among the next clips, the newest first.

    Args:
        session: The unit of work.
        model_version_ids: The models.
        before: Where the last page ended; None: the first one.
        limit: How many clips are looked at, so that it takes as long whatever lacks a score.
    """
    earlier = "" if before is None else "WHERE clip_id < :before"
    statement = text(
        f"""
        WITH page AS MATERIALIZED (
            SELECT clip_id, cutting_version, is_current, purged_at FROM audio_clips {earlier}
            ORDER BY clip_id DESC LIMIT :limit
        ), lacking AS (SELECT a.clip_id {_CLIPS.format(clips="page")})
        SELECT (SELECT count(*) FROM page), (SELECT min(clip_id) FROM page),
            coalesce((SELECT array_agg(clip_id ORDER BY clip_id DESC) FROM lacking), '{{}}')
        """
    )
    values = {"models": list(model_version_ids), "limit": limit}
    n, last, clip_ids = session.execute(
        statement, values | ({} if before is None else {"before": before})
    ).one()
    return ClipPage(last if n == limit else None, clip_ids)


def lacking(
    session: Session, clip_ids: Collection[int], *, model_version_ids: Collection[int]
) -> list[int]:
    """Return those of some clips that are current and lack a score of one of the models, by id."""
    clips = _CLIPS.format(clips="audio_clips")
    statement = text(f"SELECT a.clip_id {clips} AND a.clip_id = ANY(:clips) ORDER BY 1")
    values = {"models": list(model_version_ids), "clips": list(clip_ids)}
    return list(session.scalars(statement, values))


def segments_to_score(
    session: Session, clip_ids: Collection[int], *, model_version_ids: Collection[int]
) -> list[UnscoredSegment]:
    """Return the segments of clips that lack a score of one of the models, clip by clip."""
    rows = session.execute(
        text(
            f"""
            SELECT s.segment_id, a.clip_id, s.flac_sha256, v.channel_id, a.audio_sha256
            FROM audio_clips a
            JOIN videos v USING (video_id)
            JOIN speech_segments s
                ON s.clip_id = a.clip_id AND s.cutting_version = a.cutting_version
            WHERE a.clip_id = ANY(:clips) AND {_SEGMENT_LACKS}
            ORDER BY a.clip_id, s.segment_id
            """
        ),
        {"clips": list(clip_ids), "models": list(model_version_ids)},
    )
    return [UnscoredSegment(*row) for row in rows]


def scored_segments(
    session: Session, segment_ids: Sequence[int], *, model_version_ids: Collection[int]
) -> list[tuple[int, int, float, float, str]]:
    """Return (model_version_id, segment_id, p_en, p_zh, language) that models said of a page."""
    rows = session.execute(
        text(
            "SELECT model_version_id, segment_id, p_en, p_zh, language FROM language_scores "
            "WHERE segment_id = ANY(:segments) AND model_version_id = ANY(:models)"
        ),
        {"segments": list(segment_ids), "models": list(model_version_ids)},
    )
    return [(model, segment, en, zh, name) for model, segment, en, zh, name in rows]


def clip_languages(
    session: Session, clip_ids: Collection[int], *, model_version_ids: Collection[int]
) -> list[tuple[int, int, str]]:
    """Return (model_version_id, clip_id, language) of what models predicted of clips as a whole."""
    rows = session.execute(
        text(
            "SELECT model_version_id, clip_id, language FROM language_scores "
            "WHERE segment_id IS NULL AND clip_id = ANY(:clips) "
            "AND model_version_id = ANY(:models)"
        ),
        {"clips": list(clip_ids), "models": list(model_version_ids)},
    )
    return [(model, clip, language) for model, clip, language in rows]
