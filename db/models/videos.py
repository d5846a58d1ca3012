"""Videos, their statistics over time, and their thumbnails."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from db.base import SHA256_PATTERN, VIDEO_ID_PATTERN, Base, ChannelId, Sha256, VideoId

VIDEO_STATES = ("public", "gone")
LIVE_STATES = ("none", "upcoming", "live")
VIDEO_SOURCES = ("crawl", "import")
VIDEO_FORMATS = ("short", "long", "live", "premiere")
VIEW_DEFINITIONS = ("watched", "started")


class Video(Base):
    """A video of a watched channel."""

    __tablename__ = "videos"
    __table_args__ = (
        CheckConstraint(f"video_id ~ '{VIDEO_ID_PATTERN}'", name="video_id_form"),
        CheckConstraint(f"state IN {VIDEO_STATES}", name="state_known"),
        CheckConstraint(f"live_broadcast_content IN {LIVE_STATES}", name="live_known"),
        CheckConstraint("duration_s >= 0", name="duration_not_negative"),
        CheckConstraint(f"source IN {VIDEO_SOURCES}", name="source_known"),
        CheckConstraint(f"format IN {VIDEO_FORMATS}", name="format_known"),
        CheckConstraint("(state = 'gone') = (gone_at IS NOT NULL)", name="gone"),
        Index("ix_videos_channel_id_published_at", "channel_id", "published_at"),
        Index(
            "ix_videos_title_words",
            text("to_tsvector('simple', coalesce(title, ''))"),
            postgresql_using="gin",
        ),
        Index("ix_videos_published_at_video_id", "published_at", "video_id"),
    )

    video_id: Mapped[VideoId] = mapped_column(primary_key=True)
    channel_id: Mapped[ChannelId] = mapped_column(
        ForeignKey("channels.channel_id", ondelete="CASCADE")
    )
    title: Mapped[str | None] = mapped_column(comment="NULL until first refreshed")
    published_at: Mapped[datetime]
    duration_s: Mapped[int | None]
    category_id: Mapped[str | None]
    default_language: Mapped[str | None]
    default_audio_language: Mapped[str | None]
    live_broadcast_content: Mapped[str | None] = mapped_column(
        server_default="none",
        comment="none, upcoming or live; none also until first refreshed; NULL: YouTube said "
        "something else, so that it is not known",
    )
    actual_start_at: Mapped[datetime | None] = mapped_column(
        comment="for streams: age runs from here"
    )
    state: Mapped[str] = mapped_column(server_default="public")
    first_seen_at: Mapped[datetime]
    refreshed_at: Mapped[datetime | None]
    source: Mapped[str] = mapped_column(
        server_default="crawl", comment="how it became known: by a crawl or an import"
    )
    format: Mapped[str | None] = mapped_column(
        comment="short, long, live or premiere; NULL: not known yet"
    )
    gone_at: Mapped[datetime | None] = mapped_column(
        comment="when YouTube was first found not to show it"
    )
    unlisted_at: Mapped[datetime | None] = mapped_column(
        comment="when it was found to be missing from the uploads, but shown to who knows its id"
    )


class VideoSnapshot(Base):
    """What a video's counters said at one moment. Append-only, partitioned by day."""

    __tablename__ = "video_snapshots"
    __table_args__ = (
        CheckConstraint("view_count >= 0", name="views_not_negative"),
        CheckConstraint("like_count >= 0", name="likes_not_negative"),
        CheckConstraint("comment_count >= 0", name="comments_not_negative"),
        CheckConstraint(f"view_definition IN {VIEW_DEFINITIONS}", name="view_definition_known"),
        {"postgresql_partition_by": "RANGE (slot)"},
    )

    video_id: Mapped[VideoId] = mapped_column(
        ForeignKey("videos.video_id", ondelete="CASCADE"), primary_key=True
    )
    slot: Mapped[datetime] = mapped_column(
        primary_key=True, comment="when it was due; makes a repeated crawl change nothing"
    )
    captured_at: Mapped[datetime]
    view_count: Mapped[int | None] = mapped_column(comment="NULL = not shown, never 0")
    like_count: Mapped[int | None] = mapped_column(comment="NULL = hidden by the uploader")
    comment_count: Mapped[int | None] = mapped_column(comment="NULL = comments are off")
    view_definition: Mapped[str | None] = mapped_column(
        comment="what YouTube counted as a view then: watched or started; NULL = not known. "
        "Counts of two definitions must not be subtracted"
    )


class NewestCount(Base):
    """The newest views of a video that are known, beside it: the snapshot with the latest slot.

    Written by the statement that appends snapshots (a trigger), blanked with the last of them. Who
    changes it or the video's ``current_scores`` locks its row first, in the order of ids.
    """

    __tablename__ = "newest_counts"
    __table_args__ = (
        CheckConstraint("num_nulls(slot, captured_at, view_count) IN (0, 3)", name="whole"),
        # Nothing in it is indexed but its key: a new count stays on its page.
        {"postgresql_with": {"fillfactor": 70}},
    )

    video_id: Mapped[VideoId] = mapped_column(
        ForeignKey("videos.video_id", ondelete="CASCADE"), primary_key=True
    )
    began_at: Mapped[datetime] = mapped_column(comment="when its views began to count")
    slot: Mapped[datetime | None]
    captured_at: Mapped[datetime | None]
    view_count: Mapped[int | None] = mapped_column(comment="NULL: none is known, or kept")
    views_per_day: Mapped[float | None] = mapped_column(
        comment="lifetime average: views divided by age in days (at least one)"
    )


class Thumbnail(Base):
    """A picture, by its content. The bytes lie in the object store under the same hash."""

    __tablename__ = "thumbnails"
    __table_args__ = (
        CheckConstraint(f"thumbnail_sha256 ~ '{SHA256_PATTERN}'", name="sha256_form"),
        CheckConstraint("width > 0 AND height > 0 AND byte_size > 0", name="size_positive"),
        CheckConstraint("format IN ('jpeg', 'png', 'webp')", name="format_known"),
        # Few: whether a picture is there is looked up here instead of in all there are.
        Index(
            "ix_thumbnails_purged",
            "thumbnail_sha256",
            postgresql_where=text("purged_at IS NOT NULL"),
        ),
    )

    thumbnail_sha256: Mapped[Sha256] = mapped_column(primary_key=True)
    format: Mapped[str]
    width: Mapped[int]
    height: Mapped[int]
    byte_size: Mapped[int]
    stored_at: Mapped[datetime]
    perceptual_hash: Mapped[int | None]
    purged_at: Mapped[datetime | None] = mapped_column(
        comment="when its bytes were removed; the row stays for the history"
    )


class VideoThumbnail(Base):
    """One version of a video's thumbnail; a swapped thumbnail opens a new one."""

    __tablename__ = "video_thumbnails"
    __table_args__ = (
        CheckConstraint("version >= 1", name="version_from_one"),
        CheckConstraint("last_seen_at >= first_seen_at", name="seen_in_order"),
        CheckConstraint(f"seen_sha256 ~ '{SHA256_PATTERN}'", name="seen_sha256_form"),
        # A video shows one picture at a time.
        Index(
            "uq_video_thumbnails_current",
            "video_id",
            unique=True,
            postgresql_where=text("is_current"),
        ),
        Index("ix_video_thumbnails_thumbnail_sha256", "thumbnail_sha256"),
        Index(
            "ix_video_thumbnails_swapped_at",
            "first_seen_at",
            postgresql_where=text("version > 1"),
        ),
    )

    video_id: Mapped[VideoId] = mapped_column(
        ForeignKey("videos.video_id", ondelete="CASCADE"), primary_key=True
    )
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    thumbnail_sha256: Mapped[Sha256] = mapped_column(ForeignKey("thumbnails.thumbnail_sha256"))
    variant: Mapped[str] = mapped_column(comment="which size was fetched, such as mqdefault")
    etag: Mapped[str | None]
    is_current: Mapped[bool]
    first_seen_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]
    seen_sha256: Mapped[Sha256 | None] = mapped_column(
        comment="the same picture in other bytes, as seen last; those bytes are not kept"
    )
