"""Channels and their statistics over time."""

from datetime import datetime

from sqlalchemy import CheckConstraint, Computed, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from db.base import CHANNEL_ID_PATTERN, Base, ChannelId

CHANNEL_STATES = ("active", "empty", "closed", "suspended", "gone")
NOT_SHOWN_STATES = ("closed", "suspended", "gone")
LANGUAGE_SOURCES = ("hand", "metadata")


class Channel(Base):
    """A YouTube channel: watched, or known by an import alone."""

    __tablename__ = "channels"
    __table_args__ = (
        CheckConstraint(f"channel_id ~ '{CHANNEL_ID_PATTERN}'", name="channel_id_form"),
        CheckConstraint(f"state IN {CHANNEL_STATES}", name="state_known"),
        CheckConstraint(
            "(language IS NULL) = (language_source IS NULL)", name="language_has_source"
        ),
        CheckConstraint(f"language_source IN {LANGUAGE_SOURCES}", name="language_source_known"),
        CheckConstraint("language ~ '^[a-z]{2,3}$'", name="language_form"),
        CheckConstraint(f"ask_again_at IS NULL OR state IN {NOT_SHOWN_STATES}", name="ask_again"),
        CheckConstraint("(walk_token IS NULL) = (walk_started_at IS NULL)", name="walk"),
        Index("ix_channels_handle", text("lower(handle)")),
        Index("ix_channels_title", text("coalesce(title, '')"), "channel_id"),
        Index("ix_channels_paused_at", "paused_at", postgresql_where=text("paused_at IS NOT NULL")),
        Index(
            "ix_channels_ask_again_at",
            "ask_again_at",
            postgresql_where=text("ask_again_at IS NOT NULL"),
        ),
    )

    channel_id: Mapped[ChannelId] = mapped_column(primary_key=True)
    handle: Mapped[str | None]
    title: Mapped[str | None] = mapped_column(comment="NULL until first refreshed")
    country: Mapped[str | None]
    default_language: Mapped[str | None]
    published_at: Mapped[datetime | None]
    uploads_playlist_id: Mapped[str | None]
    uploads_truncated: Mapped[bool] = mapped_column(
        server_default=text("false"), comment="the uploads playlist ended before the channel did"
    )
    state: Mapped[str] = mapped_column(server_default="active")
    watched: Mapped[bool] = mapped_column(
        server_default=text("true"), comment="crawled from now on; false: imported and left alone"
    )
    added_at: Mapped[datetime]
    refreshed_at: Mapped[datetime | None]
    language: Mapped[str | None] = mapped_column(
        comment="spoken or written, as ISO 639 (en, zh); NULL: not known"
    )
    language_source: Mapped[str | None] = mapped_column(
        comment="hand, or metadata: what YouTube says of channel and videos"
    )
    paused_at: Mapped[datetime | None] = mapped_column(
        comment="nothing of it is claimed while this is set"
    )
    resumed_at: Mapped[datetime | None] = mapped_column(comment="when the last pause ended")
    ask_again_at: Mapped[datetime | None] = mapped_column(
        comment="when a channel that YouTube no longer shows is looked for again"
    )
    walk_token: Mapped[str | None] = mapped_column(
        comment="page at which the walk through its uploads goes on; NULL: none is under way"
    )
    walk_started_at: Mapped[datetime | None]
    walk_listed: Mapped[int] = mapped_column(
        server_default="0", comment="uploads that the walk under way has listed so far"
    )
    listed_at: Mapped[datetime | None] = mapped_column(
        comment="when its newest uploads were last read to the end"
    )
    walked_at: Mapped[datetime | None] = mapped_column(
        comment="when all of its uploads were last read"
    )


class ChannelTag(Base):
    """A word of the operator's own on a channel."""

    __tablename__ = "channel_tags"
    __table_args__ = (
        CheckConstraint("tag ~ '^[^[:cntrl:],]{1,100}$'", name="tag_form"),
        Index("ix_channel_tags_tag", "tag"),
    )

    channel_id: Mapped[ChannelId] = mapped_column(
        ForeignKey("channels.channel_id", ondelete="CASCADE"), primary_key=True
    )
    tag: Mapped[str] = mapped_column(primary_key=True)


class ChannelSnapshot(Base):
    """What a channel's counters said at one moment. Append-only."""

    __tablename__ = "channel_snapshots"
    __table_args__ = (
        CheckConstraint("subscriber_count >= 0", name="subscribers_not_negative"),
        CheckConstraint("view_count >= 0", name="views_not_negative"),
        CheckConstraint("video_count >= 0", name="videos_not_negative"),
    )

    channel_id: Mapped[ChannelId] = mapped_column(
        ForeignKey("channels.channel_id", ondelete="CASCADE"), primary_key=True
    )
    slot: Mapped[datetime] = mapped_column(
        primary_key=True, comment="when it was due; makes a repeated crawl change nothing"
    )
    captured_at: Mapped[datetime]
    subscriber_count: Mapped[int | None] = mapped_column(
        comment="rounded down to 3 significant figures by YouTube; NULL = hidden, never 0"
    )
    subscriber_count_high: Mapped[int | None] = mapped_column(
        Computed(
            "subscriber_count + least("
            "10::numeric ^ greatest(length(subscriber_count::text) - 3, 0) - 1, "
            "9223372036854775807 - subscriber_count)::bigint",
            persisted=True,
        ),
        comment="the most subscribers that YouTube rounds down to subscriber_count",
    )
    view_count: Mapped[int | None]
    video_count: Mapped[int | None]
