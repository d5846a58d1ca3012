"""What an operator sees and changes of the channels that are watched."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from db.models import Channel, ChannelTag, Dataset, Thumbnail
from db.queries.arrays import among
from db.queries.catalog.paused import is_paused

NARROWED = f"""
    (CAST(:tag AS text) IS NULL OR EXISTS (
        SELECT FROM channel_tags t WHERE t.channel_id = c.channel_id AND t.tag = :tag
    ))
    AND (CAST(:state AS text) IS NULL OR c.state = :state
        OR (:state = 'paused' AND {is_paused("c")})
        OR (:state = 'watched' AND c.watched) OR (:state = 'imported' AND NOT c.watched))
"""
"""Channels ``c`` with a tag, and in a state, ``paused``, ``watched`` or ``imported``."""


@dataclass(frozen=True)
class Belongings:
    """How many rows a channel has, by table."""

    videos: int
    video_snapshots: int
    channel_snapshots: int
    scores: int
    audio_clips: int


def overview(
    session: Session, *, tag: str | None = None, state: str | None = None
) -> list[Mapping[str, Any]]:
    """Return the channels with their newest subscriber count, tags and how many videos are known.

    ``state`` is a state, ``paused``, ``watched`` or ``imported``.
    """
    rows = session.execute(
        text(
            f"""
            SELECT c.channel_id, c.handle, c.title, c.state, c.watched, c.paused_at, c.language,
                c.language_source, c.added_at, c.refreshed_at, c.listed_at,
                ARRAY(
                    SELECT tag FROM channel_tags t WHERE t.channel_id = c.channel_id ORDER BY tag
                ) AS tags, (
                    SELECT subscriber_count FROM channel_snapshots s
                    WHERE s.channel_id = c.channel_id ORDER BY slot DESC LIMIT 1
                ) AS subscriber_count, (
                    SELECT count(*) FROM videos v WHERE v.channel_id = c.channel_id
                ) AS n_videos
            FROM channels c
            WHERE {NARROWED}
            ORDER BY c.title, c.channel_id
            """
        ),
        {"tag": tag, "state": state},
    ).mappings()
    return [dict(row) for row in rows]


def facts(session: Session, channel_id: str) -> dict[str, Any]:
    """Return all that is known of one channel: its row, newest counts, tags, videos and work."""
    row = (
        session.execute(
            text(
                """
                SELECT c.channel_id, c.handle, c.title, c.country, c.default_language, c.language,
                    c.language_source, c.published_at, c.uploads_playlist_id, c.uploads_truncated,
                    c.state, c.watched, c.ask_again_at, c.paused_at, c.added_at, c.refreshed_at,
                    c.listed_at, c.walked_at, c.walk_token IS NOT NULL AS walk_under_way,
                    c.walk_listed,
                    s.captured_at AS counts_at, s.subscriber_count, s.view_count, s.video_count,
                    ARRAY(
                        SELECT tag FROM channel_tags t WHERE t.channel_id = c.channel_id
                        ORDER BY tag
                    ) AS tags
                FROM channels c
                LEFT JOIN LATERAL (
                    SELECT * FROM channel_snapshots
                    WHERE channel_id = c.channel_id ORDER BY slot DESC LIMIT 1
                ) s ON true
                WHERE c.channel_id = :id
                """
            ),
            {"id": channel_id},
        )
        .mappings()
        .one()
    )
    videos = session.execute(
        text(
            """
            SELECT state, coalesce(format, 'unknown') AS format, count(*) AS n
            FROM videos WHERE channel_id = :id GROUP BY 1, 2 ORDER BY 1, 2
            """
        ),
        {"id": channel_id},
    ).mappings()
    work = session.execute(
        text(
            """
            SELECT kind, state, error_reason AS reason, count(*) AS n,
                max(done_at) AS last_done_at, min(ready_at) AS next_at
            FROM work_items WHERE channel_id = :id GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
            """
        ),
        {"id": channel_id},
    ).mappings()
    return {
        **row,
        "videos": [dict(entry) for entry in videos],
        "work": [dict(entry) for entry in work],
    }


def add_tags(session: Session, channel_ids: Collection[str], tags: Collection[str]) -> int:
    """Tag channels; return how many tags are new."""
    rows = [{"channel_id": c, "tag": t} for c in sorted(channel_ids) for t in sorted(tags)]
    if not rows:
        return 0
    statement = insert(ChannelTag).values(rows).on_conflict_do_nothing().returning(ChannelTag.tag)
    return len(session.execute(statement).all())


def tagged(session: Session, tags: Collection[str]) -> set[str]:
    """Return the ids of the channels that have at least one of the tags."""
    return set(session.scalars(select(ChannelTag.channel_id).where(ChannelTag.tag.in_(tags))))


def remove_tags(session: Session, channel_ids: Collection[str], tags: Collection[str]) -> int:
    """Take tags off channels; return how many there were."""
    statement = (
        delete(ChannelTag)
        .where(among(ChannelTag.channel_id, channel_ids), among(ChannelTag.tag, tags))
        .returning(ChannelTag.tag)
    )
    return len(session.execute(statement).all())


def belongings(session: Session, channel_id: str) -> Belongings:
    """Count the rows of a channel."""
    row = session.execute(
        text(
            """
            SELECT (SELECT count(*) FROM videos WHERE channel_id = :id),
                (SELECT count(*) FROM video_snapshots JOIN videos USING (video_id)
                 WHERE channel_id = :id),
                (SELECT count(*) FROM channel_snapshots WHERE channel_id = :id),
                (SELECT count(*) FROM scores JOIN videos USING (video_id) WHERE channel_id = :id),
                (SELECT count(*) FROM audio_clips JOIN videos USING (video_id)
                 WHERE channel_id = :id)
            """
        ),
        {"id": channel_id},
    ).one()
    return Belongings(*row)


def own_thumbnails(session: Session, channel_id: str) -> list[str]:
    """Return the pictures that only this channel's videos have ever shown."""
    return list(
        session.scalars(
            text(
                """
                SELECT DISTINCT t.thumbnail_sha256
                FROM video_thumbnails t JOIN videos v USING (video_id)
                WHERE v.channel_id = :id AND NOT EXISTS (
                    SELECT FROM video_thumbnails o JOIN videos w USING (video_id)
                    WHERE o.thumbnail_sha256 = t.thumbnail_sha256 AND w.channel_id <> :id
                )
                ORDER BY 1
                """
            ),
            {"id": channel_id},
        )
    )


def delete_channel(session: Session, channel_id: str, thumbnails: Collection[str]) -> None:
    """Delete a channel with all of its rows, and the rows of these pictures."""
    session.execute(delete(Channel).where(Channel.channel_id == channel_id))
    session.execute(delete(Thumbnail).where(among(Thumbnail.thumbnail_sha256, thumbnails)))


def with_rows(session: Session, sha256s: Collection[str]) -> set[str]:
    """Return those of the pictures that are known."""
    return set(
        session.scalars(
            select(Thumbnail.thumbnail_sha256).where(among(Thumbnail.thumbnail_sha256, sha256s))
        )
    )


def listed_objects(session: Session, sha256s: Collection[str]) -> set[str]:
    """Return those of the objects that a dataset or a model lists among its files."""
    return set(
        session.scalars(
            text(
                """
                SELECT f.value FROM (
                    SELECT files FROM datasets UNION ALL SELECT files FROM model_versions
                ) frozen, jsonb_each_text(frozen.files) f
                WHERE f.value = ANY(:names)
                """
            ),
            {"names": list(sha256s)},
        )
    )


def count_datasets(session: Session) -> int:
    """Count the frozen datasets."""
    return session.execute(select(func.count()).select_from(Dataset)).scalar_one()
