"""What a picture is graded against: channels by size, and the thumbnails their videos show now."""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session


@dataclass(frozen=True)
class Shown:
    """A video's current thumbnail."""

    video_id: str
    channel_id: str
    thumbnail_sha256: str


def channels_by_size(session: Session) -> dict[str, int | None]:
    """Return the subscribers of every channel that was read, None where they are hidden."""
    rows = session.execute(
        text(
            """
            SELECT DISTINCT ON (channel_id) channel_id, subscriber_count
            FROM channel_snapshots ORDER BY channel_id, slot DESC
            """
        )
    )
    return dict(rows.all())


def shown_thumbnails(
    session: Session, channel_ids: Collection[str], *, per_channel: int
) -> list[Shown]:
    """Return the current thumbnails of the newest videos of channels, by video id."""
    rows = session.execute(
        text(
            """
            SELECT video_id, channel_id, thumbnail_sha256 FROM (
                SELECT v.video_id, v.channel_id, t.thumbnail_sha256, row_number() OVER (
                    PARTITION BY v.channel_id ORDER BY v.published_at DESC, v.video_id
                ) AS place
                FROM videos v
                JOIN video_thumbnails t ON t.video_id = v.video_id AND t.is_current
                JOIN thumbnails p ON p.thumbnail_sha256 = t.thumbnail_sha256
                WHERE v.channel_id = ANY(:channels) AND v.state = 'public'
                  AND v.live_broadcast_content = 'none' AND p.purged_at IS NULL
            ) newest
            WHERE place <= :per_channel ORDER BY video_id
            """
        ),
        {"channels": list(channel_ids), "per_channel": per_channel},
    )
    return [Shown(*row) for row in rows]
