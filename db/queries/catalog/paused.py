"""Paused channels: nothing of theirs is claimed, planned or waited for, by this one rule."""

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import InstrumentedAttribute

from db.models import Channel

IS_PAUSED: ColumnElement[bool] = Channel.paused_at.is_not(None)


def is_paused(channel: str = "channels") -> str:
    """Return the rule as SQL, of a row of ``channels`` by its alias."""
    return f"{channel}.paused_at IS NOT NULL"


PAUSED_CHANNELS = f"(SELECT channel_id FROM channels WHERE {is_paused()})"
"""The ids of paused channels, as a subquery in SQL."""


def of_no_paused_channel(channel_id: InstrumentedAttribute[str]) -> ColumnElement[bool]:
    """Tell of rows whether their channel, named by a column, is not paused."""
    # Hashed once a statement, however many are paused; no channel's id is NULL.
    return channel_id.not_in(select(Channel.channel_id).where(IS_PAUSED))
