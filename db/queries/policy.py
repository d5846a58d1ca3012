"""Approvals, and what is past its time: counted, deleted in batches, dropped by the month."""

import re
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

from sqlalchemy import CursorResult, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from db.models import Approval, Export

_PARTITION = re.compile(r"video_snapshots_(\d{4})_(\d{2})")


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


def add_approval(session: Session, values: dict[str, Any]) -> int | None:
    """Record an approval; None if the same one is in force already."""
    statement = insert(Approval).values(**values).on_conflict_do_nothing()
    return session.scalars(statement.returning(Approval.approval_id)).one_or_none()


def approvals(session: Session) -> list[Approval]:
    """Return all approvals, the newest first."""
    return list(session.scalars(select(Approval).order_by(Approval.approval_id.desc())))


def approvals_in_force(session: Session, scope: str, *, now: datetime) -> list[Approval]:
    """Return the approvals of a scope that hold at this moment."""
    statement = select(Approval).where(
        Approval.scope == scope,
        Approval.revoked_at.is_(None),
        Approval.granted_at <= now,
        or_(Approval.expires_at.is_(None), Approval.expires_at > now),
    )
    return list(session.scalars(statement.order_by(Approval.approval_id)))


def revoke(session: Session, reference: str, *, now: datetime) -> int:
    """End every approval with this reference; return how many were in force."""
    statement = (
        update(Approval)
        .where(Approval.reference == reference, Approval.revoked_at.is_(None))
        .values(revoked_at=now)
        .returning(Approval.approval_id)
    )
    return len(session.scalars(statement).all())


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
    """Return the monthly partitions that hold nothing but due rows, the oldest first.

    A count is read at its slot or later, so the month says only when it was due: the rows are
    looked at.
    """
    names = session.scalars(
        text(
            "SELECT inhrelid::regclass::text FROM pg_inherits "
            "WHERE inhparent = 'video_snapshots'::regclass ORDER BY 1"
        )
    ).all()
    found = []
    for name in names:
        month = _PARTITION.fullmatch(name)
        if month is None:
            continue
        years, index = divmod(int(month[2]), 12)
        ends = datetime(int(month[1]) + years, index + 1, 1, tzinfo=UTC)
        if ends <= limit.whole and not _holds_later(session, name, limit.whole):
            found.append(name)
    return found


def _holds_later(session: Session, partition: str, moment: datetime) -> bool:
    statement = text(f"SELECT EXISTS (SELECT FROM {partition} WHERE captured_at >= :moment)")
    return bool(session.execute(statement, {"moment": moment}).scalar_one())


def drop_partition(session: Session, name: str, limit: Limit) -> int | None:
    """Drop a monthly partition; return how many rows it held, None if it now holds later ones.

    Raises:
        OperationalError: Somebody reads or writes snapshots for longer than we wait; who waits
            for this lock holds up everybody who comes after.
    """
    if _PARTITION.fullmatch(name) is None:
        raise ValueError(f"{name!r} is no partition of video_snapshots")
    session.execute(text("SET LOCAL lock_timeout = '3s'"))
    session.execute(text("LOCK TABLE ONLY video_snapshots IN ACCESS EXCLUSIVE MODE"))
    if _holds_later(session, name, limit.whole):
        return None
    held = int(session.execute(text(f"SELECT count(*) FROM {name}")).scalar_one())
    session.execute(text(f"DROP TABLE {name}"))
    return held


def delete_video_snapshots(
    session: Session, limit: Limit, *, after: str, videos: int
) -> tuple[str | None, int]:
    """Delete the due snapshots of the next videos.

    Args:
        session: The unit of work.
        limit: What is due.
        after: The last video that was looked at; empty for none.
        videos: How many to look at.

    Returns:
        The last video that was looked at now, None if there was none left; and how many snapshots
        of them are gone.
    """
    return _delete_of_next(session, _VIDEO_SNAPSHOTS, limit, after=after, entities=videos)


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
    WHERE k.state IN ('closed', 'suspended', 'gone') AND k.refreshed_at < :general
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


# A picture is due when no video has shown it since the limit.
_PICTURES = """
    FROM thumbnails t
    WHERE t.purged_at IS NULL AND t.thumbnail_sha256 > :after AND t.stored_at < :general
      AND NOT EXISTS (
        SELECT FROM video_thumbnails vt JOIN videos v USING (video_id)
        WHERE vt.thumbnail_sha256 = t.thumbnail_sha256
          AND vt.last_seen_at >= CASE
            WHEN v.channel_id = ANY(:channels) THEN :approved ELSE :general END
      )
"""


def due_pictures(session: Session, limit: Limit, *, after: str, batch: int) -> list[str]:
    """Return the next pictures that are due, by hash, beginning after one."""
    statement = text(f"SELECT t.thumbnail_sha256 {_PICTURES} ORDER BY 1 LIMIT :batch")
    values = {**limit.values, "after": after, "batch": batch}
    return list(session.scalars(statement, values))


def purge_pictures(
    session: Session, limit: Limit, hashes: Collection[str], *, now: datetime
) -> list[str]:
    """Mark pictures as purged, those that are still due; return them, locked until the commit."""
    statement = text(
        f"""
        UPDATE thumbnails SET purged_at = :now
        WHERE thumbnail_sha256 IN (
            SELECT t.thumbnail_sha256 {_PICTURES} AND t.thumbnail_sha256 = ANY(:hashes) FOR UPDATE
        )
        RETURNING thumbnail_sha256
        """
    )
    values = {**limit.values, "after": "", "hashes": list(hashes), "now": now}
    return list(session.scalars(statement, values))


def scored_pictures(session: Session, hashes: Collection[str]) -> int:
    """Count those of the pictures that scores speak of."""
    statement = text(
        "SELECT count(DISTINCT thumbnail_sha256) FROM scores WHERE thumbnail_sha256 = ANY(:hashes)"
    )
    return int(session.execute(statement, {"hashes": list(hashes)}).scalar_one())


def datasets_in_use(session: Session) -> list[tuple[str, dict[str, str]]]:
    """Return (id, files) of the newest dataset of views and of those of models that score.

    Those are the newest ones, and the champion with what was trained together with it.
    """
    rows = session.execute(
        text(
            """
            SELECT dataset_id, files FROM datasets WHERE dataset_id IN (
                (SELECT dataset_id FROM datasets WHERE task = 'thumbnails'
                 ORDER BY as_of DESC LIMIT 1)
                UNION
                SELECT dataset_id FROM (
                    SELECT DISTINCT ON (rung) dataset_id FROM model_versions
                    WHERE task = 'thumbnails' ORDER BY rung, version DESC
                ) newest
                UNION
                SELECT dataset_id FROM champion_ladders WHERE task = 'thumbnails'
            ) ORDER BY dataset_id
            """
        )
    )
    return [(dataset_id, files) for dataset_id, files in rows]


def count_datasets_before(session: Session, moment: datetime) -> int:
    """Count the frozen datasets that hold statistics from before a moment."""
    statement = text("SELECT count(*) FROM datasets WHERE task = 'thumbnails' AND as_of < :moment")
    return int(session.execute(statement, {"moment": moment}).scalar_one())


def referenced_objects(session: Session, names: Collection[str]) -> set[str]:
    """Return those of the objects that some row speaks of."""
    return set(
        session.scalars(
            text(
                """
                SELECT thumbnail_sha256 FROM thumbnails
                WHERE thumbnail_sha256 = ANY(:names) AND purged_at IS NULL
                UNION
                SELECT value FROM datasets, jsonb_each_text(files) WHERE value = ANY(:names)
                UNION
                SELECT value FROM model_versions, jsonb_each_text(files) WHERE value = ANY(:names)
                UNION
                SELECT audio_sha256 FROM audio_clips
                WHERE audio_sha256 = ANY(:names) AND purged_at IS NULL
                UNION
                SELECT flac_sha256 FROM speech_segments JOIN audio_clips USING (clip_id)
                WHERE flac_sha256 = ANY(:names) AND purged_at IS NULL
                """
            ),
            {"names": list(names)},
        )
    )


def record_export(session: Session, values: dict[str, Any]) -> None:
    """Note a folder that an export wrote."""
    session.execute(insert(Export).values(**values))


def due_exports(session: Session, *, before: datetime) -> Sequence[Export]:
    """Return the exports whose oldest statistic is from before a moment."""
    statement = select(Export).where(Export.purged_at.is_(None), Export.oldest_at < before)
    return session.scalars(statement.order_by(Export.created_at)).all()


def end_export(session: Session, export_id: uuid.UUID, *, now: datetime) -> None:
    """Note that an export's folder is gone."""
    session.execute(update(Export).where(Export.export_id == export_id).values(purged_at=now))


def stale_videos(session: Session, *, before: datetime) -> int:
    """Count the videos that are shown and whose facts were read before a moment."""
    statement = text("SELECT count(*) FROM videos WHERE state = 'public' AND refreshed_at < :m")
    return int(session.execute(statement, {"m": before}).scalar_one())


def ask_again(session: Session, *, before: datetime, batch: int) -> int:
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
