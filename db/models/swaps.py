"""What swaps of thumbnails did to the views, reckoned once instead of by whoever asks."""

import uuid
from datetime import date, datetime, timedelta

from sqlalchemy import Date, Identity, Index, Interval, Text, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, ChannelId, VideoId


class KeptSwap(Base):
    """What the view ``thumbnail_changes`` says of one swap, and from what that follows.

    The view takes it where it is not stale and nothing of its channel waits to be looked through:
    no batch of snapshots (``counted_batches``), no note (``swaps_to_keep``). Written by the
    dispatcher alone. Refers to nothing, so that who removes videos waits for nobody: what is left
    of them goes with the note of it.
    """

    __tablename__ = "kept_swaps"
    __table_args__ = (
        Index("ix_kept_swaps_channel_id", "channel_id"),
        Index(
            "ix_kept_swaps_stale",
            "ready_at",
            text("changed_at DESC"),
            postgresql_where=text("is_stale"),
        ),
    )

    video_id: Mapped[VideoId] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(
        primary_key=True, autoincrement=False, comment="of the new picture; 2 is the first change"
    )
    channel_id: Mapped[ChannelId]
    is_stale: Mapped[bool] = mapped_column(
        comment="not reckoned yet, or something it follows from has changed since"
    )
    ready_at: Mapped[datetime] = mapped_column(comment="not reckoned again before")
    token: Mapped[uuid.UUID | None] = mapped_column(
        comment="of who reckons it; gone as soon as anything of the channel changed since"
    )
    changed_at: Mapped[datetime]
    old_last_seen_at: Mapped[datetime | None]
    shown_from: Mapped[datetime | None] = mapped_column(comment="the old picture; NULL: always")
    shown_until: Mapped[datetime | None] = mapped_column(comment="the new picture; NULL: still")
    span: Mapped[timedelta | None] = mapped_column(
        Interval, comment="of the windows; NULL: under a day"
    )
    views_before: Mapped[float | None]
    views_after: Mapped[float | None]
    control_videos: Mapped[int | None]
    control_before: Mapped[float | None]
    control_after: Mapped[float | None]
    ends_at: Mapped[datetime | None] = mapped_column(
        comment="a count of the channel that was read later changes nothing, but of who is "
        "undecided"
    )
    undecided: Mapped[list[str] | None] = mapped_column(
        ARRAY(Text),
        comment="videos whose next count changes it, whenever it is read; NULL: all",
    )
    first_day: Mapped[date | None] = mapped_column(
        Date, comment="the UTC day of the first slot that it follows from; NULL: of none"
    )


class SwapToKeep(Base):
    """A video of which a picture was swapped, or a channel of which a video was removed.

    The video's swaps are stale, and those of its channel that it was beside; or all of the channel.

    Written by triggers alone; the dispatcher takes it.
    """

    __tablename__ = "swaps_to_keep"

    swap_to_keep_id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    channel_id: Mapped[ChannelId]
    video_id: Mapped[VideoId | None] = mapped_column(
        comment="whose swaps are to be listed anew; NULL: those of the whole channel"
    )
    since: Mapped[datetime | None] = mapped_column(
        comment="other swaps of the channel with windows from here until then are stale"
    )
    until: Mapped[datetime | None]
