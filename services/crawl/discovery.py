"""Which videos a channel has: its uploads playlist, read newest first.

A channel's first walk goes through all of its uploads; later ones end at the first page on which
every video was known before. Once a month a walk goes to the end again: a video that was private
and is public again appears at its old place. Where a walk stands is a row, so that another worker
goes on with it.
"""

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial

import structlog
from sqlalchemy.orm import Session

from db.queries.catalog import channels, videos
from db.queries.work import evidence, work_items
from services.context import Context
from services.crawl import odd
from services.crawl.channels import ASK_AGAIN_EVERY, note_shown
from services.crawl.rounds import Rounds
from services.errors import (
    PermanentError,
    TransientError,
)
from services.transactions import RefusedByDatabaseError, savepoint, write_apart
from services.work import kinds, leases
from services.work.verdicts import HEARD_APART
from services.youtube.batches import ONCE, Tries
from services.youtube.facts import UploadsPage
from services.youtube.feed import Feed, fetch_feed
from services.youtube.moments import IMPLAUSIBLE, is_plausible, odd_publication

log = structlog.get_logger()

PLAYLIST_END = 20_000
"""YouTube lists about so many uploads and no more; a channel that long is marked truncated."""
WHOLE_WALK_EVERY = timedelta(days=30)
WALK_KEPT = timedelta(days=1)
"""A walk that stood still for longer begins anew: what was deleted meanwhile has moved its pages,
and would have it skip as many videos."""
FEED_EVERY = timedelta(hours=1)
TRUST_FEED_FOR = timedelta(days=3)
"""So long a feed without anything new stands in for the uploads."""

CHANNEL_STATE_OF_REASON = {"channelClosed": "closed", "channelSuspended": "suspended"}
GONE_REASONS = ("videoGone", "thumbnailMissing")
UPLOADS_EMPTY = "uploadsEmpty"
EVER = datetime.min.replace(tzinfo=UTC)


def discover_channels(context: Context, token: uuid.UUID) -> int:
    """Read the uploads of a leased batch of channels; return how many videos are new.

    One whose call fails while others are answered is put at the end of the batch and asked for once
    more, after one pause for all of those. It is blamed if others are answered after that; where
    nobody is, the host fell meanwhile, and nothing is said against any of them.
    """
    with leases.begin(context, token) as batch:
        rounds = Rounds(
            context, batch, partial(_discover, context, batch), partial(_read_a_page, context)
        )
        rounds.read_all()
        _note_believed(context, batch)
    return rounds.new


@dataclass
class _Walk:
    """A walk through one channel's uploads.

    Attributes:
        channel_id: Whose uploads.
        playlist_id: Where they are listed.
        known_until: A page whose videos were all seen by then ends the walk; None: nothing does.
        page_token: The page that is next; None is the newest.
        listed: How many uploads were listed so far, by those who began it as well.
        started_at: When its first page was read.
        shown: The videos that this worker saw listed, with their moments of publication.
        from_newest: Whether this worker read the first page too.
        new: How many videos are new.
        tokens: Of the pages that this worker read, or is about to.
    """

    channel_id: str
    playlist_id: str
    known_until: datetime | None
    page_token: str | None
    listed: int
    started_at: datetime
    shown: dict[str, datetime] = field(default_factory=dict)
    from_newest: bool = True
    new: int = 0
    tokens: set[str] = field(default_factory=set)

    def restart(self, now: datetime) -> None:
        """Begin anew; what was added stays."""
        self.page_token, self.listed, self.started_at = None, 0, now
        self.shown, self.from_newest, self.tokens = {}, True, set()


def _discover(context: Context, batch: leases.Batch, channel_id: str, tries: Tries) -> int:
    """Read one channel's uploads, unless its feed tells that there is nothing new.

    Returns:
        How many videos are new.

    Raises:
        LeaseLostError: Another worker goes on with it; what was added stays right.
        PermanentError: ``uploadsEmpty``; videos are known and none is listed.
    """
    walk, feed_suffices = _begin(context, channel_id)
    if feed_suffices and not _feed_has_news(context, walk):
        with context.transaction() as session:
            _complete(context, session, batch, channel_id)
        batch.release([channel_id])  # its feed is no answer of the host that uploads are asked of
        return 0
    while True:
        page = _page(context, walk, tries)
        now = context.clock()
        published = (odd_publication(upload.published_at, now=now) for upload in page.uploads)
        odd.note(context, [each for each in published if each is not None])
        with context.transaction() as session:
            at_end = _take_page(session, walk, page, now=now) or page.next_page_token is None
            channels.keep_walk(
                session,
                walk.channel_id,
                token=None if at_end else page.next_page_token,
                started_at=walk.started_at,
                listed=walk.listed,
            )
        batch.heartbeat()
        if page.is_broken or page.next_page_token in walk.tokens:
            problem = "the next page of its uploads leads nowhere, or back"
            raise TransientError(problem, reason="malformedAnswer")
        if page.next_page_token is not None:
            walk.tokens.add(page.next_page_token)
        walk.page_token = page.next_page_token
        if at_end:
            break
    missing, unlisted = _vanished(context, walk)
    now = context.clock()
    is_whole = walk.page_token is None
    with context.transaction() as session:
        if walk.listed == 0 and videos.expected_in_list(
            session, channel_id, published_after=EVER, seen_before=walk.started_at
        ):
            raise PermanentError("its list of uploads is empty", reason=UPLOADS_EMPTY)
        heard_at = evidence.doubt(session, kinds.VIDEO_SNAPSHOT.name, missing, now=now)
        gone = [video_id for video_id, at in heard_at.items() if now - at >= HEARD_APART]
        videos.mark_gone(session, gone, now=now)
        videos.mark_unlisted(session, unlisted, now=now)
        if walk.listed:
            note_shown(session, [walk.channel_id], now=now)
        channels.finish_walk(
            session,
            walk.channel_id,
            is_empty=walk.listed == 0,
            is_truncated=walk.listed >= PLAYLIST_END if is_whole else None,
            is_whole=is_whole,
            now=now,
        )
        _complete(context, session, batch, channel_id)
    if walk.listed == 0:
        batch.release([channel_id])  # nothing came: that is right or wrong, and tells no more
    return walk.new


def _read_a_page(context: Context, channel_id: str) -> None:
    walk, _ = _begin(context, channel_id)
    context.youtube.for_purpose("discovery").uploads_page(walk.playlist_id, None, ONCE)


def _begin(context: Context, channel_id: str) -> tuple[_Walk, bool]:
    """Return the walk to begin or to go on with, and whether a feed can stand in for it."""
    now = context.clock()
    with context.transaction() as session:
        channel = channels.get(session, channel_id)
        if channel is None:
            raise PermanentError(f"{channel_id} is watched no longer", reason="notWatched")
        whole_due = channel.walked_at is None or channel.walked_at + WHOLE_WALK_EVERY <= now
        walk = _Walk(
            channel_id=channel_id,
            # UU… is the uploads playlist of UC…; used until the channel itself has told.
            playlist_id=channel.uploads_playlist_id or "UU" + channel_id.removeprefix("UC"),
            known_until=None if whole_due else channel.listed_at,
            page_token=None,
            listed=0,
            started_at=now,
        )
        under_way = channel.walk_token is not None
        if channel.walk_started_at is not None and channel.walk_started_at + WALK_KEPT > now:
            walk.page_token, walk.listed = channel.walk_token, channel.walk_listed
            walk.tokens |= {channel.walk_token} if channel.walk_token else set()
            walk.started_at, walk.from_newest = channel.walk_started_at, False
        feed_suffices = (
            context.settings.feed_hints
            and not whole_due
            and not under_way
            and channel.state == "active"
            and channel.listed_at is not None
            and channel.listed_at + TRUST_FEED_FOR > now
        )
    return walk, feed_suffices


def _feed_has_news(context: Context, walk: _Walk) -> bool:
    """Tell whether a feed shows a video that is not known, or could not tell for too long."""
    feed = fetch_feed(walk.channel_id, base_url=context.settings.feed_url)
    if not isinstance(feed, Feed) or not feed.entries:
        every = context.cadence.discovery_every
        return walk.known_until is None or walk.known_until + every <= context.clock()
    listed = {entry.video_id for entry in feed.entries}
    with context.transaction() as session:
        return bool(listed - videos.known_ids(session, listed))


def _page(context: Context, walk: _Walk, tries: Tries) -> UploadsPage:
    """Read the page that is next; a token that YouTube takes no longer begins the walk anew."""
    youtube = context.youtube.for_purpose("discovery")
    try:
        return youtube.uploads_page(walk.playlist_id, walk.page_token, tries)
    except PermanentError as error:
        if error.reason != "invalidPageToken":
            raise
        if walk.from_newest:
            # It came from a page just read. Nothing is wrong with the channel: try it once more
            # later, and if it is refused again begin anew.
            raise TransientError(str(error), reason=error.reason) from error
        walk.restart(context.clock())
        return youtube.uploads_page(walk.playlist_id, None, tries)


def _take_page(session: Session, walk: _Walk, page: UploadsPage, *, now: datetime) -> bool:
    """Add the videos of a page with the work they bring; tell whether all were known before."""
    # An entry without a date is private or deleted.
    listed = {u.video_id: u.published_at for u in page.uploads if u.published_at is not None}
    dated = {v: at for v, at in listed.items() if is_plausible(at, now=now)}
    if undated := sorted(listed.keys() - dated.keys()):
        example = f"{undated[0]}: publishedAt is {listed[undated[0]].isoformat()}"
        log.warning("youtube.odd_value", reason=IMPLAUSIBLE, items=len(undated), example=example)
    is_known = _is_known(session, dated, until=walk.known_until)

    def write(part: Session, video_ids: Sequence[str]) -> list[str]:
        rows = [
            {"video_id": v, "channel_id": walk.channel_id, "published_at": dated[v]}
            for v in video_ids
        ]
        return videos.add(part, rows, now=now)

    def refused(video_id: str, error: RefusedByDatabaseError) -> None:
        log.error("discovery.refused", video_id=video_id, problem=str(error))

    added = write_apart(lambda: savepoint(session), list(dated), write, refused)
    new = [video_id for part in added for video_id in part]
    for_videos = kinds.recurring("video")
    for kind in for_videos:
        work_items.add_items(session, kind, [(v, walk.channel_id) for v in new], slot=now)
    returned = videos.mark_listed(session, list(listed))
    work_items.retry(
        session, for_videos, reasons=GONE_REASONS, entity_ids=returned, now=now, refuted=True
    )
    walk.new += len(new)
    walk.listed += len(page.uploads)
    # What is listed with an odd date does not tell how far back the list was read.
    walk.shown |= dict.fromkeys(undated, now) | dated
    return is_known and not returned


def _is_known(session: Session, video_ids: Collection[str], *, until: datetime | None) -> bool:
    """Tell whether a page is from before the last complete walk, and with it all that follow.

    Videos that a later walk added before it broke off do not count: what came after them was
    never read.
    """
    if until is None:
        return False
    seen = videos.first_seen(session, video_ids)
    return bool(seen) and all(v in seen and seen[v] <= until for v in video_ids)


def _vanished(context: Context, walk: _Walk) -> tuple[Collection[str], Collection[str]]:
    """Return the videos that the uploads lack: those not shown at all, and the others.

    A list may lack a video that is there, so YouTube is asked for those it should have shown.
    """
    if not walk.from_newest or not walk.shown:
        return (), ()
    with context.transaction() as session:
        wanting = videos.expected_in_list(
            session,
            walk.channel_id,
            published_after=min(walk.shown.values()),
            seen_before=walk.started_at,
        ).difference(walk.shown)
    if not wanting:
        return (), ()
    answer = context.youtube.for_purpose("discovery").videos(sorted(wanting))
    return answer.missing, list(answer.items)


def _complete(context: Context, session: Session, batch: leases.Batch, channel_id: str) -> None:
    """End the work on a channel; with feeds as hints, the next look is in an hour."""
    every = context.cadence.discovery_every
    if context.settings.feed_hints:
        every = min(every, FEED_EVERY)
    batch.complete(session, {channel_id: every}, now=context.clock())


def _note_believed(context: Context, batch: leases.Batch) -> None:
    """Write what is believed now of channels: that they are closed, suspended or empty."""
    now = context.clock()
    with context.transaction() as session:
        for channel_id, reason in batch.believed(session).items():
            if (state := CHANNEL_STATE_OF_REASON.get(reason)) is not None:
                ask_again_at = now + ASK_AGAIN_EVERY
                channels.mark_not_shown(session, [channel_id], state, ask_again_at=ask_again_at)
            elif reason == UPLOADS_EMPTY:
                channels.finish_walk(
                    session, channel_id, is_empty=True, is_truncated=False, is_whole=True, now=now
                )
                _complete(context, session, batch, channel_id)
                batch.release([channel_id])
