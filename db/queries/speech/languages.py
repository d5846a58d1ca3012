"""Which language videos are said to speak, and what models predict of them."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from db.models import LanguageScore
from db.queries import bulk, streaming

PAGE = 5_000


@dataclass(frozen=True)
class LabelledSegment:
    """A segment with the label in force of its video; ``speaker`` is the channel."""

    segment_id: int
    clip_id: int
    video_id: str
    speaker: str
    audio_sha256: str
    flac_sha256: str
    start_s: float
    length_s: float
    speech_share: float
    level_dbfs: float
    snr_db: float | None
    clipped_share: float
    codec: str
    language: str
    label_source: str
    is_conflicting: bool


def label(
    session: Session, video_ids: Collection[str], language: str, *, by: str, now: datetime
) -> list[str]:
    """Label videos by hand; return those whose label is new or another than before."""
    ids = sorted(set(video_ids))
    given = {"ids": ids, "language": language, "now": now}
    # In order, so that two who label the same videos wait for each other instead of for ever.
    session.execute(
        text("SELECT FROM videos WHERE video_id = ANY(:ids) ORDER BY video_id FOR NO KEY UPDATE"),
        given,
    )
    session.execute(
        text(
            "UPDATE language_labels SET ended_at = greatest(labelled_at, :now) "
            "WHERE video_id = ANY(:ids) AND ended_at IS NULL AND language <> :language"
        ),
        given,
    )
    statement = text(
        """
        INSERT INTO language_labels (video_id, language, labelled_by, labelled_at)
        SELECT id, :language, :by, :now FROM unnest(CAST(:ids AS text[])) AS named (id)
        ON CONFLICT DO NOTHING
        RETURNING video_id
        """
    )
    return sorted(session.scalars(statement, {**given, "by": by}))


def withdraw(session: Session, video_ids: Collection[str], *, now: datetime) -> list[str]:
    """End the labels by hand of videos; return those that had one."""
    statement = text(
        "UPDATE language_labels SET ended_at = greatest(labelled_at, :now) "
        "WHERE video_id = ANY(:ids) AND ended_at IS NULL RETURNING video_id"
    )
    return sorted(session.scalars(statement, {"ids": list(video_ids), "now": now}))


def claims(session: Session, video_ids: Collection[str]) -> list[dict[str, Any]]:
    """Return every claim on the language of videos, the one in force of each first."""
    rows = session.execute(
        text(
            """
            SELECT video_id, source, language, claimed_by, claimed_at,
                rank = min(rank) OVER (PARTITION BY video_id) AS in_force
            FROM language_claims WHERE video_id = ANY(:ids) ORDER BY video_id, rank
            """
        ),
        {"ids": list(video_ids)},
    ).mappings()
    return [dict(row) for row in rows]


def history(session: Session, video_ids: Collection[str]) -> list[dict[str, Any]]:
    """Return all labels by hand of videos, also corrected and withdrawn ones, oldest first."""
    rows = session.execute(
        text(
            "SELECT video_id, language, labelled_by, labelled_at, ended_at FROM language_labels "
            "WHERE video_id = ANY(:ids) ORDER BY video_id, label_id"
        ),
        {"ids": list(video_ids)},
    ).mappings()
    return [dict(row) for row in rows]


def conflicts(session: Session, *, limit: int) -> list[dict[str, Any]]:
    """Return videos with audio whose claims name several languages: those in force by hand last."""
    rows = session.execute(
        text(
            """
            SELECT a.video_id, c.title AS channel_title, v.title, l.language, l.source, l.claims
            FROM audio_clips a
            JOIN videos v USING (video_id)
            JOIN channels c USING (channel_id)
            CROSS JOIN LATERAL (
                SELECT language, source, claims, is_conflicting
                FROM language_labels_in_force WHERE video_id = a.video_id
            ) l
            WHERE a.is_current AND l.is_conflicting
            ORDER BY l.source = 'hand', c.title, a.video_id
            LIMIT :limit
            """
        ),
        {"limit": limit},
    ).mappings()
    return [dict(row) for row in rows]


def conflicts_among(
    session: Session, *, before: int | None, down_to: int | None, limit: int
) -> list[dict[str, Any]]:
    """Return the same of some clips, with ``clip_id``, the newest first.

    Args:
        session: The unit of work.
        before: Only earlier clips than this; None: from the newest on.
        down_to: No earlier clip than this is looked at; None: all are.
        limit: The most to return.
    """
    rows = session.execute(
        text(
            f"""
            SELECT a.clip_id, a.video_id, c.title AS channel_title, v.title, l.language, l.source,
                l.claims
            FROM audio_clips a
            JOIN videos v USING (video_id)
            JOIN channels c USING (channel_id)
            CROSS JOIN LATERAL (
                SELECT language, source, claims, is_conflicting
                FROM language_labels_in_force WHERE video_id = a.video_id
                OFFSET 0  -- clip by clip
            ) l
            WHERE a.is_current AND l.is_conflicting
              {"" if before is None else "AND a.clip_id < :before"}
              {"" if down_to is None else "AND a.clip_id >= :down_to"}
            ORDER BY a.clip_id DESC
            LIMIT :limit
            """
        ),
        {"before": before, "down_to": down_to, "limit": limit},
    ).mappings()
    return [dict(row) for row in rows]


def labelled_segments(
    session: Session, *, languages: Collection[str] | None = None, as_of: datetime | None = None
) -> Iterator[LabelledSegment]:
    """Yield the segments to learn from: of current clips, as cut last, with their bytes held.

    Args:
        session: The unit of work.
        languages: Only these labels, as ISO 639; None: all.
        as_of: Only clips fetched until then; None: all. Labels are those of today.

    Returns:
        The segments by speaker, video and start. The same audio under two videos comes twice, with
        the same ``audio_sha256``.
    """
    statement = text(
        """
        SELECT s.segment_id, a.clip_id, a.video_id, v.channel_id, a.audio_sha256,
            s.flac_sha256, s.start_s, s.length_s, s.speech_share, s.level_dbfs, s.snr_db,
            s.clipped_share, a.codec, l.language, l.source, l.is_conflicting
        FROM audio_clips a
        JOIN videos v USING (video_id)
        JOIN speech_segments s
            ON s.clip_id = a.clip_id AND s.cutting_version = a.cutting_version
        CROSS JOIN LATERAL (
            SELECT language, source, is_conflicting
            FROM language_labels_in_force WHERE video_id = a.video_id
        ) l
        WHERE a.is_current AND a.purged_at IS NULL
          AND (CAST(:languages AS text[]) IS NULL OR l.language = ANY(:languages))
          AND (CAST(:as_of AS timestamptz) IS NULL OR a.fetched_at <= :as_of)
        ORDER BY v.channel_id, a.video_id, s.start_s
        """
    )
    values = {"languages": None if languages is None else list(languages), "as_of": as_of}
    for page in streaming.pages(session, statement, values, size=PAGE):
        yield from (LabelledSegment(*row) for row in page)


def append_segment_scores(session: Session, rows: Sequence[Mapping[str, Any]]) -> int:
    """Write scores of segments by COPY; one that exists for its model stays. Return how many.

    Args:
        session: The unit of work.
        rows: ``clip_id``, ``segment_id``, ``model_version_id``, ``p_en``, ``p_zh``, ``p_unknown``,
            ``language`` and ``scored_at`` of each.
    """
    return bulk.append(session, LanguageScore, rows)


def put_clip_scores(session: Session, rows: Sequence[Mapping[str, Any]]) -> int:
    """Write scores of clips as a whole; a clip that has more segments by now is scored anew.

    Args:
        session: The unit of work.
        rows: As for segments, without ``segment_id``.

    Returns:
        How many were written.
    """
    if not rows:
        return 0
    statement = insert(LanguageScore).values([dict(row) for row in rows])
    predicted = ("p_en", "p_zh", "p_unknown", "language", "scored_at")
    statement = statement.on_conflict_do_update(
        index_elements=["clip_id", "model_version_id"],
        index_where=LanguageScore.segment_id.is_(None),
        set_={name: statement.excluded[name] for name in predicted},
    )
    return len(session.execute(statement.returning(LanguageScore.score_id)).all())


def segment_scores(
    session: Session, *, model_version_id: int, clip_ids: Collection[int]
) -> list[tuple[int, float, float, float, float]]:
    """Return (clip_id, seconds, p_en, p_zh, p_unknown) of the scored segments of clips."""
    rows = session.execute(
        text(
            """
            SELECT s.clip_id, s.length_s, d.p_en, d.p_zh, d.p_unknown
            FROM language_scores d
            JOIN speech_segments s USING (segment_id)
            JOIN audio_clips a ON a.clip_id = s.clip_id AND a.cutting_version = s.cutting_version
            WHERE d.model_version_id = :model AND s.clip_id = ANY(:clips)
            ORDER BY s.clip_id, s.start_s
            """
        ),
        {"model": model_version_id, "clips": list(clip_ids)},
    )
    return [(c, seconds, en, zh, unknown) for c, seconds, en, zh, unknown in rows]
