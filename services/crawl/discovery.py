"""Which videos a channel has: its uploads playlist, read newest first."""

import uuid
from datetime import datetime

from sqlalchemy.orm import Session

from db.queries import channels, videos, work
from db.session import unit_of_work
from services.context import Context
from services.crawl import cadence, leases
from services.errors import (
    BlockedError,
    PermanentError,
    QuotaError,
    TransientError,
    TubeGraderError,
)
from services.youtube.facts import UploadsPage
from services.youtube.failures import ApiKeyError

PLAYLIST_END = 20_000
"""YouTube lists about so many uploads and no more; a channel that long is marked truncated."""


MOST_TRANSIENT = 2
"""After so many channels in a row that failed in passing, the others of the batch would too: each
takes a minute to time out, and the lease runs."""
CHANNEL_STATE_OF_REASON = {"channelClosed": "closed", "channelSuspended": "suspended"}


def discover_channels(context: Context, token: uuid.UUID) -> int:
    """Read the uploads of a leased batch of channels; return how many videos are new."""
    items = leases.begin(context, token)
    new = in_a_row = 0
    with leases.failing(context, token, items) as failures:
        for item in items:
            try:
                added = _discover(context, token, item)
            except (ApiKeyError, QuotaError, BlockedError):
                raise  # concerns every channel alike: no use asking for the next
            except TubeGraderError as error:
                in_a_row = in_a_row + 1 if isinstance(error, TransientError) else 0
                if in_a_row == MOST_TRANSIENT:
                    raise
                _note_state(context, item.entity_id, error)
                failures.add([item.entity_id], error)
                continue
            if added is None:
                break
            in_a_row = 0
            new += added
    return new


def _discover(context: Context, token: uuid.UUID, item: work.LeasedItem) -> int | None:
    """Page through one channel's uploads until the end, or until a page was known before.

    Returns:
        How many videos are new; None when the lease was lost to another worker.
    """
    channel_id = item.entity_id
    with unit_of_work(context.sessions) as session:
        playlist_id = channels.uploads_playlist(session, channel_id)
        known_until = work.last_done(session, "channel.discover", channel_id)
    # UU… is the uploads playlist of UC…; used until the channel itself has told.
    playlist_id = playlist_id or "UU" + channel_id.removeprefix("UC")
    new = listed = 0
    page_token: str | None = None
    while True:
        page = _page(context, playlist_id, page_token)
        now = context.clock()
        with unit_of_work(context.sessions) as session:
            is_known = _is_known(session, page, until=known_until)
            new += _take_page(session, channel_id, page, now=now)
            if work.extend_lease(session, token, until=now + context.lease) == 0:
                return None  # what was added stays right
        listed += len(page.uploads)
        page_token = page.next_page_token
        if page_token is None or is_known:
            break
    now = context.clock()
    with unit_of_work(context.sessions) as session:
        channels.finish_discovery(
            session,
            channel_id,
            is_empty=listed == 0,
            is_truncated=listed >= PLAYLIST_END if page_token is None else None,
        )
        slot = cadence.next_slot(item.slot, context.cadence.discovery_every, now=now)
        work.complete(session, token, {channel_id: slot}, now=now)
    return new


def _page(context: Context, playlist_id: str, page_token: str | None) -> UploadsPage:
    try:
        return context.youtube.for_purpose("discovery").uploads_page(playlist_id, page_token)
    except PermanentError as error:
        if error.reason == "invalidPageToken":
            # The list changed under the walk; nothing is wrong with the channel.
            raise TransientError(str(error), reason=error.reason) from error
        raise


def _is_known(session: Session, page: UploadsPage, *, until: datetime | None) -> bool:
    """Tell whether a page is from before the last complete walk, and with it all that follow.

    Videos that a later walk added before it broke off do not count: what came after them was
    never read.
    """
    if until is None:
        return False
    seen = videos.first_seen(session, page.video_ids)
    dated = [upload.video_id for upload in page.uploads if upload.published_at is not None]
    return bool(seen) and all(v in seen and seen[v] <= until for v in dated)


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


def _note_state(context: Context, channel_id: str, error: TubeGraderError) -> None:
    state = CHANNEL_STATE_OF_REASON.get(error.reason)
    if state is not None:
        with unit_of_work(context.sessions) as session:
            channels.mark_not_shown(session, [channel_id], state)
