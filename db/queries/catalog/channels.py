"""Reading and writing channels and their snapshots."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import case, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from db.models import Channel, ChannelSnapshot
from db.models.channels import NOT_SHOWN_STATES
from db.queries.arrays import among
from db.queries.catalog.paused import IS_PAUSED


def add(session: Session, channel_ids: Collection[str], *, now: datetime) -> list[str]:
    """Watch channels; return the ids of those that were not watched: new ones, or imported ones."""
    statement = text(
        """
        INSERT INTO channels (channel_id, added_at)
        SELECT unnest(CAST(:ids AS text[])), :now
        ON CONFLICT (channel_id) DO UPDATE SET watched = true, added_at = excluded.added_at
            WHERE NOT channels.watched
        RETURNING channel_id
        """
    )
    return list(session.scalars(statement, {"ids": sorted(channel_ids), "now": now}))


def ids(session: Session, *, paused: bool = True, watched: bool = False) -> list[str]:
    """Return the ids of all channels.

    Args:
        session: The unit of work.
        paused: False leaves out those that are paused.
        watched: Leaves out those that were only imported: what is to be crawled.
    """
    statement = select(Channel.channel_id).order_by(Channel.channel_id)
    if not paused:
        statement = statement.where(~IS_PAUSED)
    if watched:
        statement = statement.where(Channel.watched)
    return list(session.scalars(statement))


def ids_after(session: Session, last: str, *, limit: int) -> list[str]:
    """Return the ids that follow one in order, at most so many of them."""
    return list(
        session.scalars(
            select(Channel.channel_id)
            .where(Channel.channel_id > last)
            .order_by(Channel.channel_id)
            .limit(limit)
        )
    )


def known(session: Session, channel_ids: Collection[str]) -> set[str]:
    """Return those of the ids that are known, by a crawl or an import."""
    return set(
        session.scalars(select(Channel.channel_id).where(among(Channel.channel_id, channel_ids)))
    )


def watched(session: Session, channel_ids: Collection[str]) -> set[str]:
    """Return those of the ids that are watched."""
    return set(
        session.scalars(
            select(Channel.channel_id).where(
                among(Channel.channel_id, channel_ids), Channel.watched
            )
        )
    )


def by_handles(session: Session, handles: Collection[str]) -> dict[str, str]:
    """Return the channel id of each handle (with ``@``, in lower case) that is known."""
    lowered = func.lower(Channel.handle)
    rows = session.execute(
        select(lowered, Channel.channel_id)
        .where(lowered.in_(handles))
        .order_by(Channel.refreshed_at)
    )
    return dict(rows.all())


def get(session: Session, channel_id: str) -> Channel | None:
    """Return a channel; None if it is not watched."""
    return session.get(Channel, channel_id, populate_existing=True)


def refresh(session: Session, facts: Mapping[str, Any], *, now: datetime) -> None:
    """Write what was read of a channel: a mapping of column names, ``channel_id`` among them."""
    values = {k: v for k, v in facts.items() if k != "channel_id"}
    session.execute(
        update(Channel)
        .where(Channel.channel_id == facts["channel_id"])
        .values(**values, refreshed_at=now)
    )


def mark_shown(session: Session, channel_ids: Collection[str]) -> list[str]:
    """Note that YouTube shows these channels; return those that had been closed or gone."""
    return list(
        session.scalars(
            update(Channel)
            .where(among(Channel.channel_id, channel_ids), Channel.state.in_(NOT_SHOWN_STATES))
            .values(state="active", ask_again_at=None)
            .returning(Channel.channel_id)
        )
    )


def mark_not_shown(
    session: Session, channel_ids: Collection[str], state: str, *, ask_again_at: datetime
) -> None:
    """Note that YouTube no longer shows these channels: ``closed``, ``suspended`` or ``gone``.

    ``gone`` is what the others look like from a distance, so it replaces neither of them.
    """
    kept = ("closed", "suspended") if state == "gone" else ()
    session.execute(
        update(Channel)
        .where(among(Channel.channel_id, channel_ids))
        .values(
            state=case((Channel.state.in_(kept), Channel.state), else_=state),
            ask_again_at=ask_again_at,
        )
    )


def take_to_ask_again(session: Session, *, now: datetime, next_at: datetime) -> list[str]:
    """Return the channels that are to be looked for again, and set when that is done next."""
    return list(
        session.scalars(
            update(Channel)
            .where(Channel.ask_again_at <= now, Channel.watched)
            .values(ask_again_at=next_at)
            .returning(Channel.channel_id)
        )
    )


def keep_walk(
    session: Session, channel_id: str, *, token: str | None, started_at: datetime, listed: int
) -> None:
    """Note at which page a walk through the uploads goes on; None: it begins anew."""
    session.execute(
        update(Channel)
        .where(Channel.channel_id == channel_id)
        .values(
            walk_token=token,
            walk_started_at=None if token is None else started_at,
            walk_listed=listed if token is not None else 0,
        )
    )


def finish_walk(
    session: Session,
    channel_id: str,
    *,
    is_empty: bool,
    is_truncated: bool | None,
    is_whole: bool,
    now: datetime,
) -> None:
    """Note what a walk through the uploads showed; ``is_truncated`` None leaves that as it was.

    An empty list alone says nothing about a channel that is not shown: its list is empty too.
    """
    empty = case((Channel.state.in_(NOT_SHOWN_STATES), Channel.state), else_="empty")
    values: dict[str, Any] = {"listed_at": now}
    values |= {"state": empty} if is_empty else {"state": "active", "ask_again_at": None}
    values |= {"walk_token": None, "walk_started_at": None, "walk_listed": 0}
    if is_truncated is not None:
        values["uploads_truncated"] = is_truncated
    if is_whole:
        values["walked_at"] = now
    session.execute(update(Channel).where(Channel.channel_id == channel_id).values(**values))


def label_by_hand(session: Session, channel_ids: Collection[str], language: str) -> None:
    """Say which language the channels speak; nothing overwrites that but another hand."""
    session.execute(
        update(Channel)
        .where(among(Channel.channel_id, channel_ids))
        .values(language=language, language_source="hand")
    )


def label_by_metadata(session: Session, channel_ids: Collection[str]) -> None:
    """Label the language of channels that no hand has labelled.

    The channel's own default language decides; where it has none, the language of most of its
    newest 200 videos that name one.
    """
    session.execute(
        text(
            """
            UPDATE channels c
            SET language = found.language, language_source = 'metadata'
            FROM (
                SELECT k.channel_id, coalesce(own.language, spoken.language) AS language
                FROM channels k
                CROSS JOIN LATERAL (
                    SELECT substring(lower(k.default_language) FROM '^([a-z]{2,3})(?![a-z])')
                        AS language
                ) own
                LEFT JOIN LATERAL (
                    SELECT language FROM (
                        SELECT language, count(*) AS n, sum(count(*)) OVER () AS total FROM (
                            SELECT substring(
                                lower(coalesce(v.default_audio_language, v.default_language))
                                FROM '^([a-z]{2,3})(?![a-z])'
                            ) AS language
                            FROM videos v
                            WHERE v.channel_id = k.channel_id AND own.language IS NULL
                            ORDER BY v.published_at DESC
                            LIMIT 200
                        ) newest
                        WHERE language IS NOT NULL
                        GROUP BY language
                    ) counted
                    WHERE n * 2 > total
                ) spoken ON true
                WHERE k.channel_id = ANY(:ids) AND k.language_source IS DISTINCT FROM 'hand'
            ) found
            WHERE c.channel_id = found.channel_id AND found.language IS NOT NULL
              AND c.language IS DISTINCT FROM found.language
            """
        ),
        {"ids": list(channel_ids)},
    )


def set_paused(
    session: Session, channel_ids: Collection[str], *, paused: bool, now: datetime
) -> list[str]:
    """Pause or resume channels; return the ids of those that were not so already."""
    change = ~IS_PAUSED if paused else IS_PAUSED
    values = {"paused_at": now} if paused else {"paused_at": None, "resumed_at": now}
    return list(
        session.scalars(
            update(Channel)
            .where(among(Channel.channel_id, channel_ids), change)
            .values(**values)
            .returning(Channel.channel_id)
        )
    )


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


def titles(session: Session, channel_ids: Collection[str]) -> dict[str, str | None]:
    """Return the titles of channels; None where it was never read."""
    rows = session.execute(
        select(Channel.channel_id, Channel.title).where(Channel.channel_id.in_(channel_ids))
    )
    return dict(rows.all())
