"""Reading and writing channels and their snapshots."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import case, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from db.models import Channel, ChannelSnapshot
from db.queries.arrays import among

_NOT_SHOWN = ("closed", "suspended", "gone")


def add(session: Session, channel_ids: Collection[str], *, now: datetime) -> list[str]:
    """Add channels that are not known yet; return the ids of the new ones."""
    statement = text(
        """
        INSERT INTO channels (channel_id, added_at)
        SELECT unnest(CAST(:ids AS text[])), :now
        ON CONFLICT DO NOTHING
        RETURNING channel_id
        """
    )
    return list(session.scalars(statement, {"ids": sorted(channel_ids), "now": now}))


def overview(session: Session) -> list[Mapping[str, Any]]:
    """Return every channel with its newest subscriber count and how many videos are known."""
    rows = session.execute(
        text(
            """
            SELECT c.channel_id, c.handle, c.title, c.state, c.refreshed_at, (
                SELECT subscriber_count FROM channel_snapshots s
                WHERE s.channel_id = c.channel_id ORDER BY slot DESC LIMIT 1
            ) AS subscriber_count, (
                SELECT count(*) FROM videos v WHERE v.channel_id = c.channel_id
            ) AS n_videos
            FROM channels c
            ORDER BY c.title, c.channel_id
            """
        )
    ).mappings()
    return [dict(row) for row in rows]


def ids(session: Session) -> list[str]:
    """Return the ids of all channels."""
    return list(session.scalars(select(Channel.channel_id).order_by(Channel.channel_id)))


def uploads_playlist(session: Session, channel_id: str) -> str | None:
    """Return the id of a channel's uploads playlist, once it is known."""
    return session.scalars(
        select(Channel.uploads_playlist_id).where(Channel.channel_id == channel_id)
    ).one_or_none()


def refresh(session: Session, facts: Mapping[str, Any], *, now: datetime) -> None:
    """Write what was read of a channel: a mapping of column names, ``channel_id`` among them."""
    values = {k: v for k, v in facts.items() if k != "channel_id"}
    session.execute(
        update(Channel)
        .where(Channel.channel_id == facts["channel_id"])
        .values(**values, refreshed_at=now)
    )


def mark_shown(session: Session, channel_ids: Collection[str]) -> None:
    """Note that YouTube shows these channels: those that were closed or gone have come back."""
    session.execute(
        update(Channel)
        .where(among(Channel.channel_id, channel_ids), Channel.state.in_(_NOT_SHOWN))
        .values(state="active")
    )


def mark_not_shown(session: Session, channel_ids: Collection[str], state: str) -> None:
    """Note that YouTube no longer shows these channels: ``closed``, ``suspended`` or ``gone``.

    ``gone`` is what the others look like from a distance, so it replaces neither of them.
    """
    known = () if state != "gone" else ("closed", "suspended")
    session.execute(
        update(Channel)
        .where(among(Channel.channel_id, channel_ids), Channel.state.not_in(known))
        .values(state=state)
    )


def finish_discovery(
    session: Session, channel_id: str, *, is_empty: bool, is_truncated: bool | None
) -> None:
    """Note what a walk through all uploads showed; ``is_truncated`` None leaves that as it was.

    An empty list alone says nothing about a channel that is not shown: its list is empty too.
    """
    empty = case((Channel.state.in_(_NOT_SHOWN), Channel.state), else_="empty")
    values: dict[str, Any] = {"state": empty if is_empty else "active"}
    if is_truncated is not None:
        values["uploads_truncated"] = is_truncated
    session.execute(update(Channel).where(Channel.channel_id == channel_id).values(**values))


def append_snapshots(session: Session, rows: Sequence[Mapping[str, Any]]) -> int:
    """Append channel snapshots; one that exists for its slot is left alone. Return how many."""
    if not rows:
        return 0
    statement = (
        insert(ChannelSnapshot)
        .values(list(rows))
        .on_conflict_do_nothing()
        .returning(ChannelSnapshot.channel_id)
    )
    return len(session.execute(statement).all())
