"""Which videos a channel has: its uploads playlist, read newest first."""

import uuid
from datetime import datetime

from sqlalchemy.orm import Session

from db.queries import channels, videos, work
from db.session import unit_of_work
from services.context import Context
from services.crawl import cadence, leases
from services.errors import BlockedError, QuotaError, TubeGraderError
from services.youtube.facts import UploadsPage
from services.youtube.failures import ApiKeyError

PLAYLIST_END = 20_000
"""YouTube lists about so many uploads and no more; a channel that long is marked truncated."""


def discover_channels(context: Context, token: uuid.UUID) -> int:
    """Read the uploads of a leased batch of channels; return how many videos are new."""
    items = leases.begin(context, token)
    new = 0
    with leases.failing(context, token, items) as failures:
        for item in items:
            try:
                new += _discover(context, token, item)
            except (ApiKeyError, QuotaError, BlockedError):
                raise  # concerns every channel alike: no use asking for the next
            except TubeGraderError as error:
                failures.add([item.entity_id], error)
    return new


def _discover(context: Context, token: uuid.UUID, item: work.LeasedItem) -> int:
    """Page through one channel's uploads until the end, or until all of a page is known."""
    channel_id = item.entity_id
    with unit_of_work(context.sessions) as session:
        playlist_id = channels.uploads_playlist(session, channel_id)
        complete_before = work.done_before(session, "channel.discover", channel_id)
    # UU… is the uploads playlist of UC…; used until the channel itself has told.
    playlist_id = playlist_id or "UU" + channel_id.removeprefix("UC")
    new = listed = 0
    page_token: str | None = None
    while True:
        page = context.youtube.uploads_page(playlist_id, page_token)
        now = context.clock()
        with unit_of_work(context.sessions) as session:
            added = _take_page(session, channel_id, page, now=now)
            if work.extend_lease(session, token, until=now + context.lease) == 0:
                return new  # another worker has it; what was added stays right
        new += added
        listed += len(page.uploads)
        page_token = page.next_page_token
        if page_token is None or (complete_before and added == 0):
            break
    now = context.clock()
    with unit_of_work(context.sessions) as session:
        channels.finish_discovery(
            session,
            channel_id,
            is_empty=listed == 0,
            is_truncated=listed >= PLAYLIST_END if page_token is None else None,
        )
        slot = cadence.next_slot(item.slot, cadence.CHANNEL_INTERVAL, now=now)
        work.complete(session, token, {channel_id: slot}, now=now)
    return new


def _take_page(session: Session, channel_id: str, page: UploadsPage, *, now: datetime) -> int:
    """Add the videos of a page with the work they bring; return how many are new."""
    new = videos.add(
        session,
        [
            {"video_id": u.video_id, "channel_id": channel_id, "published_at": u.published_at}
            for u in page.uploads
            # An entry without a date is private or deleted.
            if u.published_at is not None
        ],
        now=now,
    )
    for kind in ("video.snapshot", "video.thumbnail"):
        work.add_items(session, kind, [(v, channel_id) for v in new], slot=now)
    return len(new)
