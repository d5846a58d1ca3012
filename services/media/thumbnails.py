"""Thumbnails: fetched, checked, stored by their content, kept as a version history."""

import uuid

from db.queries import videos, work
from db.session import unit_of_work
from services.context import Context
from services.crawl import cadence, leases
from services.youtube.thumbnails import (
    FailedThumbnail,
    FetchedThumbnail,
    ThumbnailRequest,
    UnchangedThumbnail,
    fetch_all_thumbnails,
)


def fetch_batch(context: Context, token: uuid.UUID) -> int:
    """Fetch the thumbnails of a leased batch of videos; return how many new versions came.

    The bytes are in the object store before any row speaks of them.
    """
    items = {item.entity_id: item for item in leases.begin(context, token)}
    settings = context.settings
    versions = 0
    with leases.failing(context, token, items.values()) as failures:
        with unit_of_work(context.sessions) as session:
            current = videos.current_thumbnails(session, items)
        requests = [
            ThumbnailRequest(v, etag=current[v].etag if v in current else None) for v in items
        ]
        fetched: list[FetchedThumbnail] = []
        unchanged: list[str] = []
        for result in fetch_all_thumbnails(
            requests,
            base_url=settings.thumbnail_url,
            variant=settings.thumbnail_variant,
            concurrency=settings.thumbnail_concurrency,
            max_bytes=settings.thumbnail_max_bytes,
        ):
            match result:
                case FetchedThumbnail():
                    fetched.append(result)
                case UnchangedThumbnail():
                    unchanged.append(result.video_id)
                case FailedThumbnail():
                    failures.add([result.video_id], result.error)
        context.store.put_many([f.content for f in fetched])
        now = context.clock()
        with unit_of_work(context.sessions) as session:
            # A picture that comes late, after another worker's, would look like a swap.
            held = work.lock_held(session, token)
            versions = videos.record_thumbnails(
                session,
                [
                    videos.StoredThumbnail(
                        video_id=f.video_id,
                        thumbnail_sha256=f.sha256,
                        format=f.format,
                        width=f.width,
                        height=f.height,
                        byte_size=len(f.content),
                        variant=f.variant,
                        etag=f.etag,
                    )
                    for f in fetched
                    if f.video_id in held
                ],
                now=now,
            )
            videos.seen_again(session, held.intersection(unchanged), now=now)
            next_slots = {
                v: cadence.next_slot(items[v].slot, context.cadence.thumbnail_every, now=now)
                for v in [*(f.video_id for f in fetched), *unchanged]
            }
            work.complete(session, token, next_slots, now=now)
    return versions
