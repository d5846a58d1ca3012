"""Counts and facts that are past their time: counted, deleted in batches, dropped by the day."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import CursorResult, text
from sqlalchemy.orm import Session

from db import partitions
from db.queries.catalog import counted
from db.queries.catalog.turns import take_reckoning_turn, take_turn


@dataclass(frozen=True)
class Limit:
    """Up to when rows are due: generally, and of channels with an approval of their own."""

    general: datetime
    approved: datetime
    approved_channels: tuple[str, ...] = ()

    @property
    def whole(self) -> datetime:
        """Before this moment everything is due, whatever the channel."""
        return min(self.general, self.approved) if self.approved_channels else self.general

    @property
    def values(self) -> dict[str, Any]:
        """The limit as values of a statement that holds ``_DUE``."""
        return {
            "general": self.general,
            "approved": self.approved,
            "channels": list(self.approved_channels),
        }


_DUE = "(s.captured_at < :general AND NOT {channel} = ANY(:channels) OR s.captured_at < :approved)"
_VIDEO_ROWS = "FROM video_snapshots s JOIN videos v USING (video_id) WHERE " + _DUE.format(
    channel="v.channel_id"
)
_CHANNEL_ROWS = "FROM channel_snapshots s WHERE " + _DUE.format(channel="s.channel_id")


def count_video_snapshots(session: Session, limit: Limit) -> int:
    """Count the video snapshots that are due."""
    return int(session.execute(text(f"SELECT count(*) {_VIDEO_ROWS}"), limit.values).scalar_one())


def count_channel_snapshots(session: Session, limit: Limit) -> int:
    """Count the channel snapshots that are due."""
    return int(session.execute(text(f"SELECT count(*) {_CHANNEL_ROWS}"), limit.values).scalar_one())


def whole_partitions(session: Session, limit: Limit) -> list[str]:
    """Return the partitions that hold nothing but due rows, the oldest first.

    A count is read at its slot or later, so the bounds say only when it was due: the rows are
    looked at.
    """
    return [
        found.name
        for found in partitions.partitions(session.connection())
        if found.high <= limit.whole and not _holds_later(session, found, limit.whole)
    ]


def _holds_later(session: Session, partition: partitions.Partition, moment: datetime) -> bool:
    # By its bounds: another purge may drop it before its name is read.
    statement = text(
        f"SELECT EXISTS (SELECT FROM {partitions.TABLE} "
        "WHERE slot >= :low AND slot < :high AND captured_at >= :moment)"
    )
    values = {"low": partition.low, "high": partition.high, "moment": moment}
    return bool(session.execute(statement, values).scalar_one())


def drop_partition(session: Session, name: str, limit: Limit) -> int | None:
    """Drop a partition; return how many rows it held, None if it is gone or holds later ones now.

    Raises:
        OperationalError: Somebody reads or writes snapshots for longer than we wait; who waits
            for this lock holds up everybody who comes after.
    """
    connection = session.connection()
    take_reckoning_turn(session)
    session.execute(text("SET LOCAL lock_timeout = '3s'"))
    # Two who purge take their turns: the second finds it gone.
    partitions.lock_dropping(connection)
    found = {one.name: one for one in partitions.partitions(connection)}.get(name)
    if found is None:
        return None
    held_and_later = text(
        f"SELECT count(*), count(*) FILTER (WHERE captured_at >= :moment) FROM {name}"
    ).bindparams(moment=limit.whole)
    gone: int | None = None

    def is_due() -> bool:
        nonlocal gone
        held, later = session.execute(held_and_later).one()
        gone = None if later else held
        return not later

    # Before: who forgets has the table, and those in front of it should not keep it from others.
    take_turn(session)
    partitions.drop_partition(connection, name, only_if=is_due)
    if gone is not None:
        counted.forget(session, low=found.low, high=found.high)
    return gone


def delete_video_snapshots(
    session: Session, limit: Limit, *, after: str, videos: int
) -> tuple[str | None, int]:
    """Delete the due snapshots of the next videos, and what is known by them of the newest counts.

    Args:
        session: The unit of work.
        limit: What is due.
        after: The last video that was looked at; empty for none.
        videos: How many to look at.

    Returns:
        The last video that was looked at now, None if there was none left; and how many snapshots
        of them are gone.
    """
    last, gone = _delete_of_next(session, _VIDEO_SNAPSHOTS, limit, after=after, entities=videos)
    if last is not None:
        # Also those whose snapshots went with a whole month. What is left of others is read anew.
        due = _DUE.format(channel="e.channel_id")
        session.execute(
            text(
                f"""
                SELECT set_newest_counts(array_agg(s.video_id))
                FROM newest_counts s JOIN videos e USING (video_id)
                WHERE s.video_id > :after AND s.video_id <= :last AND {due}
                HAVING count(*) > 0
                """
            ),
            {**limit.values, "after": after, "last": last},
        )
    return last, gone


def delete_channel_snapshots(
    session: Session, limit: Limit, *, after: str, channels: int
) -> tuple[str | None, int]:
    """Delete the due snapshots of the next channels; as :func:`delete_video_snapshots`."""
    return _delete_of_next(session, _CHANNEL_SNAPSHOTS, limit, after=after, entities=channels)


@dataclass(frozen=True)
class _Snapshots:
    table: str
    entities: str
    key: str


_VIDEO_SNAPSHOTS = _Snapshots("video_snapshots", "videos", "video_id")
_CHANNEL_SNAPSHOTS = _Snapshots("channel_snapshots", "channels", "channel_id")


def _delete_of_next(
    session: Session, of: _Snapshots, limit: Limit, *, after: str, entities: int
) -> tuple[str | None, int]:
    """Delete by the key, entity by entity: no batch finds its way through what others deleted."""
    last = session.execute(
        text(
            f"SELECT max({of.key}) FROM (SELECT {of.key} FROM {of.entities} "
            f"WHERE {of.key} > :after ORDER BY {of.key} LIMIT :entities) next"
        ),
        {"after": after, "entities": entities},
    ).scalar_one()
    if last is None:
        return None, 0
    # A count is read at its slot or later: what is due has a slot before the limit, too, which the
    # key tells without a look at the row.
    gone = session.execute(
        text(
            f"""
            DELETE FROM {of.table} s USING {of.entities} e
            WHERE e.{of.key} > :after AND e.{of.key} <= :last
              AND s.{of.key} = e.{of.key} AND s.slot < :newest
              AND {_DUE.format(channel="e.channel_id")}
            """
        ),
        {
            **limit.values,
            "after": after,
            "last": last,
            "newest": max(limit.general, limit.approved),
        },
    )
    return last, cast("CursorResult[Any]", gone).rowcount


def delete_missed_slots(session: Session, limit: Limit, *, kind: str, batch: int) -> int:
    """Delete notes of missed slots of a kind, where the counts of then are due; return how many."""
    statement = text(
        """
        DELETE FROM missed_slots m USING (
            SELECT kind, entity_id, first_slot FROM missed_slots
            WHERE kind = :kind AND (
                last_slot < :general AND NOT channel_id = ANY(:channels) OR last_slot < :approved
            ) LIMIT :batch
        ) due
        WHERE (m.kind, m.entity_id, m.first_slot) = (due.kind, due.entity_id, due.first_slot)
        RETURNING 1
        """
    )
    return len(session.execute(statement, {**limit.values, "kind": kind, "batch": batch}).all())


_FACTS = """
    FROM videos v JOIN channels c USING (channel_id)
    WHERE num_nonnulls(
        v.title, v.duration_s, v.category_id, v.default_language, v.default_audio_language
    ) > 0
      AND v.source = 'crawl' AND NOT v.channel_id = ANY(:channels)
      AND coalesce(v.refreshed_at, v.first_seen_at) < :general
      AND (v.gone_at < :general OR c.paused_at < :general)
"""


_CHANNEL_FACTS = """
    FROM channels k
    WHERE k.watched AND k.state IN ('closed', 'suspended', 'gone') AND k.refreshed_at < :general
      AND num_nonnulls(k.title, k.country, k.default_language) > 0
      AND NOT k.channel_id = ANY(:channels)
"""


def count_lasting_facts(session: Session, limit: Limit) -> int:
    """Count the videos and channels whose facts are due and cannot be read anew."""
    statement = f"SELECT (SELECT count(*) {_FACTS}) + (SELECT count(*) {_CHANNEL_FACTS})"
    return int(session.execute(text(statement), limit.values).scalar_one())


def blank_facts(session: Session, limit: Limit, *, batch: int) -> int:
    """Remove the facts of up to ``batch`` videos that are gone or long paused; return how many.

    What stays says what the row is: ids, the moment of publication, the format. They are asked
    for in full if YouTube shows them again.
    """
    statement = text(
        f"""
        UPDATE videos SET title = NULL, duration_s = NULL, category_id = NULL,
            default_language = NULL, default_audio_language = NULL, refreshed_at = NULL
        WHERE video_id IN (SELECT v.video_id {_FACTS} LIMIT :batch)
        RETURNING video_id
        """
    )
    return len(session.execute(statement, {**limit.values, "batch": batch}).all())


def blank_channels(session: Session, limit: Limit) -> int:
    """Remove the facts of channels that YouTube shows no longer; return of how many.

    Their handle stays: it is what people call them by.
    """
    statement = text(
        f"""
        UPDATE channels SET title = NULL, country = NULL, default_language = NULL
        WHERE channel_id IN (SELECT k.channel_id {_CHANNEL_FACTS})
        RETURNING channel_id
        """
    )
    return len(session.execute(statement, limit.values).all())


def stale_videos(session: Session, *, before: datetime) -> int:
    """Count the videos that are shown and whose facts were read before a moment."""
    statement = text("SELECT count(*) FROM videos WHERE state = 'public' AND refreshed_at < :m")
    return int(session.execute(statement, {"m": before}).scalar_one())


def mark_for_refresh(session: Session, *, before: datetime, batch: int) -> int:
    """Have stale videos read in full at their next slot; return how many.

    A video that was never refreshed is asked for in full: that is what they become.
    """
    statement = text(
        """
        UPDATE videos SET refreshed_at = NULL WHERE video_id IN (
            SELECT video_id FROM videos WHERE state = 'public' AND refreshed_at < :m LIMIT :batch
        ) RETURNING video_id
        """
    )
    return len(session.scalars(statement, {"m": before, "batch": batch}).all())
