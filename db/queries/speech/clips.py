"""Speech audio: clips as a version history, their segments, and which clips are past their time."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from db.models import AudioClip, SpeechSegment
from db.queries.policy.retention import Limit

OBJECTS_LOCK = "SELECT pg_advisory_xact_lock{}(hashtext('audio objects'))"
"""Held by who deletes audio objects, shared by who records clips: nobody records what is just
being deleted."""


@dataclass(frozen=True)
class StoredClip:
    """Audio of a video that lies in the object store; the fields are columns of ``audio_clips``."""

    video_id: str
    audio_sha256: str
    byte_size: int
    container: str
    codec: str
    sample_rate: int
    channels: int
    said_duration_s: float | None
    duration_s: float
    kept_s: float
    format_id: str | None
    track_language: str | None
    cutting_version: str
    allowed_by: str
    approval_reference: str | None


@dataclass(frozen=True)
class StoredSegment:
    """A segment in the object store; the fields are columns of ``speech_segments``."""

    start_s: float
    length_s: float
    flac_sha256: str
    byte_size: int
    speech_share: float
    level_dbfs: float
    snr_db: float | None
    clipped_share: float


@dataclass(frozen=True)
class RecordedClip:
    """What came of recording: the clip, and whether it is a new version of the video's audio."""

    clip_id: int
    is_new: bool


@dataclass(frozen=True)
class Standing:
    """Which permissions to hold audio stand: for everything, or for some channels."""

    everywhere: bool
    channels: tuple[str, ...] = ()


def record_clip(
    session: Session, clip: StoredClip, segments: Sequence[StoredSegment], *, now: datetime
) -> RecordedClip:
    """Record a video's audio: the same is seen again, another opens a new version.

    Segments that are known (same clip, start and cutting) stay as they are. The caller holds the
    video's work item, so nobody else records the same video.
    """
    session.execute(text(OBJECTS_LOCK.format("_shared")))
    current = session.scalars(
        select(AudioClip)
        .where(AudioClip.video_id == clip.video_id, AudioClip.is_current)
        .with_for_update()
    ).one_or_none()
    is_new = current is None or current.audio_sha256 != clip.audio_sha256
    if current is not None and not is_new:
        _seen_again(current, clip, now=now)
    else:
        version = 1 if current is None else current.version + 1
        if current is not None:
            current.is_current = False
            session.flush()
        values = {**vars(clip), "fetched_at": now, "last_seen_at": now}
        current = AudioClip(**values, version=version, is_current=True)
        session.add(current)
    session.flush()
    if segments:
        own = {"clip_id": current.clip_id, "cutting_version": clip.cutting_version}
        session.execute(
            insert(SpeechSegment)
            .values([{**vars(segment), **own} for segment in segments])
            .on_conflict_do_nothing()
        )
    return RecordedClip(current.clip_id, is_new)


def _seen_again(current: AudioClip, clip: StoredClip, *, now: datetime) -> None:
    """Note that a clip was fetched once more, under the permission of today."""
    if current.purged_at is not None:
        # Taken anew: what retention counts from begins again.
        current.purged_at, current.fetched_at = None, now
    current.last_seen_at = max(current.last_seen_at, now)
    current.cutting_version, current.kept_s = clip.cutting_version, clip.kept_s
    current.track_language = clip.track_language or current.track_language
    current.allowed_by = clip.allowed_by
    current.approval_reference = clip.approval_reference


# What nobody may hold any longer: past its retention, or of a permission that ended.
_DUE = """
    FROM audio_clips a JOIN videos v USING (video_id)
    WHERE a.purged_at IS NULL AND a.clip_id > :after AND (
        a.fetched_at < CASE WHEN v.channel_id = ANY(:channels) THEN :approved ELSE :general END
        OR (
            a.allowed_by = 'approval' AND NOT :everywhere
            AND NOT v.channel_id = ANY(:standing)
        )
    )
"""
_OBJECTS = """
    SELECT a.clip_id, a.audio_sha256 AS sha256 FROM audio_clips a
    UNION ALL
    SELECT s.clip_id, s.flac_sha256 FROM speech_segments s
"""


def due_clips(
    session: Session, limit: Limit, standing: Standing, *, after: int, batch: int
) -> list[int]:
    """Return the next clips that may not be held any longer, by id, beginning after one."""
    statement = text(f"SELECT a.clip_id {_DUE} ORDER BY 1 LIMIT :batch")
    values = {**_values(limit, standing), "after": after, "batch": batch}
    return list(session.scalars(statement, values))


def clips_in_datasets(session: Session, clip_ids: Collection[int]) -> set[int]:
    """Return those of the clips of which a dataset or a model lists an object by name."""
    statement = text(
        f"""
        SELECT DISTINCT o.clip_id FROM ({_OBJECTS}) o
        WHERE o.clip_id = ANY(:clips) AND o.sha256 IN (
            SELECT f.value FROM (
                SELECT files FROM datasets WHERE task = 'speech'
                UNION ALL
                SELECT files FROM model_versions WHERE task = 'speech'
            ) frozen, jsonb_each_text(frozen.files) f
        )
        """
    )
    return set(session.scalars(statement, {"clips": list(clip_ids)}))


def count_scored(session: Session, clip_ids: Collection[int]) -> int:
    """Count those of the clips that have scores."""
    statement = text(
        "SELECT count(DISTINCT clip_id) FROM language_scores WHERE clip_id = ANY(:clips)"
    )
    return int(session.execute(statement, {"clips": list(clip_ids)}).scalar_one())


def purge_clips(
    session: Session,
    limit: Limit,
    standing: Standing,
    clip_ids: Collection[int],
    *,
    now: datetime,
) -> tuple[int, list[str]]:
    """Mark clips as purged, those that are still due.

    Returns:
        How many they are, and the objects that nothing needs any longer. They are to be deleted
        before the commit: who records a clip waits for it.
    """
    session.execute(text(OBJECTS_LOCK.format("")))
    gone = list(
        session.scalars(
            text(
                f"""
                UPDATE audio_clips SET purged_at = :now
                WHERE clip_id IN (SELECT a.clip_id {_DUE} AND a.clip_id = ANY(:clips))
                RETURNING clip_id
                """
            ),
            {**_values(limit, standing), "after": 0, "clips": list(clip_ids), "now": now},
        )
    )
    return len(gone), objects_of(session, gone)


def objects_of(session: Session, clip_ids: Collection[int]) -> list[str]:
    """Return the objects of clips that no other clip with its bytes in the store refers to."""
    statement = text(
        f"""
        SELECT DISTINCT o.sha256 FROM ({_OBJECTS}) o
        WHERE o.clip_id = ANY(:clips) AND NOT EXISTS (
            SELECT FROM audio_clips a
            WHERE a.audio_sha256 = o.sha256 AND a.purged_at IS NULL AND a.clip_id <> ALL(:clips)
        ) AND NOT EXISTS (
            SELECT FROM speech_segments s JOIN audio_clips a USING (clip_id)
            WHERE s.flac_sha256 = o.sha256 AND a.purged_at IS NULL AND a.clip_id <> ALL(:clips)
        )
        ORDER BY 1
        """
    )
    return list(session.scalars(statement, {"clips": list(clip_ids)}))


def clips_of_channel(session: Session, channel_id: str) -> list[int]:
    """Return the clips of a channel's videos, all versions."""
    statement = text(
        "SELECT clip_id FROM audio_clips JOIN videos USING (video_id) WHERE channel_id = :c"
    )
    return list(session.scalars(statement, {"c": channel_id}))


def _values(limit: Limit, standing: Standing) -> Mapping[str, Any]:
    return {
        **limit.values,
        "everywhere": standing.everywhere,
        "standing": list(standing.channels),
    }
