"""What was collected, what was missed and what is overdue, added up by channel and day."""

from datetime import date, datetime

from sqlalchemy import BigInteger, CheckConstraint, Date, ForeignKey, Identity, Index, Text, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, ChannelId


class DailyCount(Base):
    """Slots of a channel, UTC day and kind: how many were collected, or missed for a reason.

    Several rows of one key are to be added up: whoever collects or misses something adds a row
    instead of waiting for others of the channel. What is overdue now is not here, it follows from
    ``work_items``. Written by triggers alone.
    """

    __tablename__ = "daily_counts"
    __table_args__ = (
        # As the views are asked: the newest day first, of all channels or of one.
        Index(
            "ix_daily_counts_day",
            text("day DESC"),
            "channel_id",
            "kind",
            "reason",
            postgresql_include=["n_slots", "n_late", "n_entities"],
        ),
        Index(
            "ix_daily_counts_channel_id_day",
            "channel_id",
            text("day DESC"),
            "kind",
            "reason",
            postgresql_include=["n_slots", "n_late", "n_entities"],
        ),
        # Misses are few among what was collected.
        Index(
            "ix_daily_counts_missed",
            text("day DESC"),
            "channel_id",
            "kind",
            "reason",
            postgresql_where=text("reason <> ''"),
            postgresql_include=["n_slots", "n_entities"],
        ),
    )

    daily_count_id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    channel_id: Mapped[ChannelId] = mapped_column(
        ForeignKey("channels.channel_id", ondelete="CASCADE")
    )
    day: Mapped[date] = mapped_column(Date, comment="the UTC day on which the slots fell due")
    kind: Mapped[str]
    reason: Mapped[str] = mapped_column(comment="why they were missed; empty: they were collected")
    n_slots: Mapped[int]
    n_late: Mapped[int] = mapped_column(
        comment="of those collected, more than an hour after their slot"
    )
    n_entities: Mapped[int] = mapped_column(comment="videos or channels that were missed")


class CountedBatch(Base):
    """Snapshots of videos that were added or removed by one statement, not added up yet.

    Adding them up asks for each video's channel, and has others of the channel wait: it is done
    every few seconds instead of with each batch.
    """

    __tablename__ = "counted_batches"
    __table_args__ = (CheckConstraint("sign IN (-1, 1)", name="sign_known"),)

    counted_batch_id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    day: Mapped[date] = mapped_column(Date, comment="the UTC day on which the slots fell due")
    is_late: Mapped[bool] = mapped_column(comment="taken more than an hour after the slot")
    sign: Mapped[int] = mapped_column(comment="1: added, -1: removed")
    first_captured_at: Mapped[datetime | None] = mapped_column(
        comment="when the first of them was read; NULL in batches from before it was noted"
    )
    video_ids: Mapped[list[str]] = mapped_column(ARRAY(Text))


class OverdueCount(Base):
    """Slots of a channel, UTC day and kind that were overdue for a reason when last counted.

    Beside ``work_items``, from which it follows: for when that is too much to be counted anew for
    each reader. Written by the dispatcher alone.
    """

    __tablename__ = "overdue_counts"
    __table_args__ = (
        # As the views are asked: the newest day first.
        Index("ix_overdue_counts_day", text("day DESC"), "channel_id", "kind", "reason"),
    )

    channel_id: Mapped[ChannelId] = mapped_column(
        ForeignKey("channels.channel_id", ondelete="CASCADE"), primary_key=True
    )
    day: Mapped[date] = mapped_column(
        Date, primary_key=True, comment="the UTC day on which the slots fell due"
    )
    kind: Mapped[str] = mapped_column(primary_key=True)
    reason: Mapped[str] = mapped_column(primary_key=True, comment="why they were not collected yet")
    n_slots: Mapped[int] = mapped_column(BigInteger)
    n_entities: Mapped[int] = mapped_column(
        BigInteger,
        comment="videos or channels that the slots belong to, and that missed no other for the "
        "same reason on that day",
    )


class OverdueCounting(Base):
    """How far what is overdue is counted; one row, made by the migration."""

    __tablename__ = "overdue_counting"
    __table_args__ = (CheckConstraint("is_only", name="one_row"),)

    is_only: Mapped[bool] = mapped_column(
        primary_key=True, server_default=text("true"), comment="one row"
    )
    counted_at: Mapped[datetime | None] = mapped_column(
        comment="when the last whole count was begun; NULL: there was none yet"
    )
