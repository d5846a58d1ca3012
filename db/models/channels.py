"""Channels and their statistics over time."""

from datetime import datetime

from sqlalchemy import CheckConstraint, Computed, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from db.base import CHANNEL_ID_PATTERN, Base, ChannelId

CHANNEL_STATES = ("active", "empty", "closed", "suspended", "gone")


class Channel(Base):
    """A YouTube channel that is watched."""

    __tablename__ = "channels"
    __table_args__ = (
        CheckConstraint(f"channel_id ~ '{CHANNEL_ID_PATTERN}'", name="channel_id_form"),
        CheckConstraint(f"state IN {CHANNEL_STATES}", name="state_known"),
        Index("ix_channels_handle", text("lower(handle)")),
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
    added_at: Mapped[datetime]
    refreshed_at: Mapped[datetime | None]


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
