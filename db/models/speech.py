"""Speech: audio of videos, its segments, what language they are said to be in, and the scores."""

from datetime import datetime

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from db.base import SHA256_PATTERN, Base, ChannelId, Sha256, VideoId

ALLOWED_BY = ("approval", "setting")
SCORED_LANGUAGES = ("en", "zh", "unknown")
_PROBABILITIES = "p_en BETWEEN 0 AND 1 AND p_zh BETWEEN 0 AND 1 AND p_unknown BETWEEN 0 AND 1"


class AudioSelection(Base):
    """Of which of a channel's videos speech is collected, and how much of each."""

    __tablename__ = "audio_selections"
    __table_args__ = (
        CheckConstraint("seconds_wanted BETWEEN 1 AND 14400", name="seconds_wanted_sane"),
        CheckConstraint("shortest_s >= 1 AND longest_s >= shortest_s", name="lengths_in_order"),
        CheckConstraint("newest_videos >= 1", name="videos_positive"),
    )

    channel_id: Mapped[ChannelId] = mapped_column(
        ForeignKey("channels.channel_id", ondelete="CASCADE"), primary_key=True
    )
    seconds_wanted: Mapped[int] = mapped_column(comment="of each video, in seconds of its audio")
    shortest_s: Mapped[int] = mapped_column(comment="shorter videos are left out")
    longest_s: Mapped[int] = mapped_column(comment="longer videos are left out")
    newest_videos: Mapped[int] = mapped_column(comment="so many of the newest that fit")
    enabled: Mapped[bool] = mapped_column(
        server_default=text("true"), comment="false: collected no longer; what came stays"
    )
    added_at: Mapped[datetime]
    changed_at: Mapped[datetime]


class AudioClip(Base):
    """One version of a video's audio. Its compact original lies in the object store."""

    __tablename__ = "audio_clips"
    __table_args__ = (
        UniqueConstraint("video_id", "version"),
        CheckConstraint("version >= 1", name="version_from_one"),
        CheckConstraint(f"audio_sha256 ~ '{SHA256_PATTERN}'", name="sha256_form"),
        CheckConstraint("byte_size > 0", name="size_positive"),
        CheckConstraint("sample_rate > 0 AND channels > 0", name="format_positive"),
        CheckConstraint("said_duration_s >= 0", name="said_duration_not_negative"),
        CheckConstraint("duration_s > 0", name="duration_positive"),
        # Decoders round to whole frames at either end.
        CheckConstraint("kept_s >= 0 AND kept_s <= duration_s + 1", name="kept_within"),
        CheckConstraint(f"allowed_by IN {ALLOWED_BY}", name="allowed_by_known"),
        CheckConstraint(
            "(allowed_by = 'approval') = (approval_reference IS NOT NULL)",
            name="approval_has_reference",
        ),
        CheckConstraint("last_seen_at >= fetched_at", name="seen_in_order"),
        Index(
            "uq_audio_clips_current", "video_id", unique=True, postgresql_where=text("is_current")
        ),
        Index("ix_audio_clips_audio_sha256", "audio_sha256"),
        Index(
            "ix_audio_clips_fetched_at", "fetched_at", postgresql_where=text("purged_at IS NULL")
        ),
    )

    clip_id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    video_id: Mapped[VideoId] = mapped_column(ForeignKey("videos.video_id", ondelete="CASCADE"))
    version: Mapped[int] = mapped_column(comment="a video whose audio changed has several")
    is_current: Mapped[bool]
    audio_sha256: Mapped[Sha256] = mapped_column(comment="of the compact original in the store")
    byte_size: Mapped[int]
    container: Mapped[str]
    codec: Mapped[str]
    sample_rate: Mapped[int] = mapped_column(comment="of the original, in Hz")
    channels: Mapped[int]
    said_duration_s: Mapped[float | None] = mapped_column(
        comment="the video's length, as the site says it; NULL: it does not"
    )
    duration_s: Mapped[float] = mapped_column(comment="of what came, by decoding it")
    kept_s: Mapped[float] = mapped_column(comment="seconds in its segments")
    format_id: Mapped[str | None] = mapped_column(comment="which of the site's formats was taken")
    track_language: Mapped[str | None] = mapped_column(
        comment="what the site says of the audio track"
    )
    cutting_version: Mapped[str] = mapped_column(
        comment="how it was cut last; segments of other cuttings stay for their scores"
    )
    allowed_by: Mapped[str] = mapped_column(comment="approval, or setting: a local permission")
    approval_reference: Mapped[str | None]
    fetched_at: Mapped[datetime]
    last_seen_at: Mapped[datetime] = mapped_column(comment="when the same audio was fetched last")
    purged_at: Mapped[datetime | None] = mapped_column(
        comment="when its bytes and those of its segments were removed; scores stay"
    )


class SpeechSegment(Base):
    """A stretch of a clip with speech in it: 16 kHz mono FLAC in the object store."""

    __tablename__ = "speech_segments"
    __table_args__ = (
        UniqueConstraint("clip_id", "start_s", "cutting_version"),
        UniqueConstraint("segment_id", "clip_id"),  # what scores refer to
        CheckConstraint("start_s >= 0 AND length_s > 0", name="span_positive"),
        CheckConstraint(f"flac_sha256 ~ '{SHA256_PATTERN}'", name="sha256_form"),
        CheckConstraint("byte_size > 0", name="size_positive"),
        CheckConstraint("speech_share BETWEEN 0 AND 1", name="speech_share"),
        CheckConstraint("clipped_share BETWEEN 0 AND 1", name="clipped_share"),
        CheckConstraint("level_dbfs <= 6", name="level_sane"),
        Index("ix_speech_segments_flac_sha256", "flac_sha256"),
    )

    segment_id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    clip_id: Mapped[int] = mapped_column(ForeignKey("audio_clips.clip_id", ondelete="CASCADE"))
    cutting_version: Mapped[str]
    start_s: Mapped[float] = mapped_column(comment="seconds from the clip's beginning")
    length_s: Mapped[float]
    flac_sha256: Mapped[Sha256]
    byte_size: Mapped[int]
    speech_share: Mapped[float] = mapped_column(comment="share of its time with speech")
    level_dbfs: Mapped[float] = mapped_column(comment="RMS level relative to full scale")
    snr_db: Mapped[float | None] = mapped_column(
        comment="estimated from speech against pauses; NULL: nothing to compare with"
    )
    clipped_share: Mapped[float] = mapped_column(comment="share of samples at full scale")


class LanguageLabel(Base):
    """What somebody said a video speaks. Corrected or withdrawn ones stay as rows.

    Claims of the metadata and of the channel follow from ``videos`` and ``channels``; the view
    ``language_claims`` holds all of them together.
    """

    __tablename__ = "language_labels"
    __table_args__ = (
        CheckConstraint("language ~ '^[a-z]{2,3}$'", name="language_form"),
        CheckConstraint("labelled_by <> ''", name="labelled_by_given"),
        CheckConstraint("ended_at >= labelled_at", name="ended_later"),
        Index(
            "uq_language_labels_in_force",
            "video_id",
            unique=True,
            postgresql_where=text("ended_at IS NULL"),
        ),
        Index("ix_language_labels_video_id", "video_id"),
    )

    label_id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    video_id: Mapped[VideoId] = mapped_column(ForeignKey("videos.video_id", ondelete="CASCADE"))
    language: Mapped[str] = mapped_column(comment="ISO 639: en, zh or another")
    labelled_by: Mapped[str] = mapped_column(comment="who said so")
    labelled_at: Mapped[datetime]
    ended_at: Mapped[datetime | None] = mapped_column(
        comment="when it was corrected or withdrawn; NULL: in force"
    )


class LanguageScore(Base):
    """What one model says of a segment, or (segment_id NULL) of a clip as a whole."""

    __tablename__ = "language_scores"
    __table_args__ = (
        ForeignKeyConstraint(
            ["segment_id", "clip_id"],
            ["speech_segments.segment_id", "speech_segments.clip_id"],
            ondelete="CASCADE",
        ),
        CheckConstraint(_PROBABILITIES, name="probabilities"),
        CheckConstraint("abs(p_en + p_zh + p_unknown - 1) < 0.001", name="probabilities_sum"),
        CheckConstraint(f"language IN {SCORED_LANGUAGES}", name="language_known"),
        Index(
            "uq_language_scores_segment",
            "segment_id",
            "model_version_id",
            unique=True,
            postgresql_where=text("segment_id IS NOT NULL"),
        ),
        Index(
            "uq_language_scores_clip",
            "clip_id",
            "model_version_id",
            unique=True,
            postgresql_where=text("segment_id IS NULL"),
        ),
        Index("ix_language_scores_clip_id", "clip_id"),
        Index("ix_language_scores_model_version_id", "model_version_id"),
    )

    score_id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    clip_id: Mapped[int] = mapped_column(ForeignKey("audio_clips.clip_id", ondelete="CASCADE"))
    segment_id: Mapped[int | None] = mapped_column(comment="NULL: of the clip as a whole")
    model_version_id: Mapped[int] = mapped_column(
        ForeignKey("model_versions.model_version_id", ondelete="CASCADE")
    )
    p_en: Mapped[float]
    p_zh: Mapped[float]
    p_unknown: Mapped[float]
    language: Mapped[str] = mapped_column(comment="en, zh or unknown: what the model decided")
    scored_at: Mapped[datetime]
