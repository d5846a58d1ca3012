"""Drawn videos written as a crawl would write them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from db.queries.catalog import thumbnails, videos
from services.context import Context


def store_videos(
    context: Context, session: Session, drawn: Sequence[Mapping[str, Any]], *, now: datetime
) -> None:
    """Write drawn videos with one count each and their pictures.

    Args:
        context: Its object store gets the pictures.
        session: Channels are there already.
        drawn: Each with video_id, channel_id, published_at, views and picture.
        now: When all of it was seen.
    """
    columns = ("video_id", "channel_id", "published_at")
    videos.add(session, [{c: v[c] for c in columns} for v in drawn], now=now)
    videos.refresh(session, [{"video_id": v["video_id"], "title": ""} for v in drawn], now=now)
    videos.append_snapshots(
        session,
        [
            {
                "video_id": v["video_id"],
                "slot": now,
                "captured_at": now,
                "view_count": v["views"],
            }
            for v in drawn
        ],
    )
    hashes = context.store.put_many([v["picture"] for v in drawn])
    fetched = [
        thumbnails.StoredThumbnail(
            v["video_id"], sha256, "jpeg", 320, 180, len(v["picture"]), "mqdefault", None
        )
        for v, sha256 in zip(drawn, hashes, strict=True)
    ]
    thumbnails.record_thumbnails(session, fetched, now=now)
