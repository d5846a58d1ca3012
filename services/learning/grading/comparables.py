"""The thumbnails that a picture is graded against: the channel's own, and like-sized channels'."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

from db.queries.catalog import channels, comparable
from db.queries.catalog.comparable import Shown
from services.context import Context
from services.errors import PermanentError, UsageError
from services.naming import parse_channel
from services.youtube.identifiers import ReferenceKind

ALIKE = 3.0
"""A channel is like-sized with a third to three times the subscribers."""
MOST_CHANNELS = 60
PER_CHANNEL = 4
MOST_OWN = 100


@dataclass(frozen=True)
class Whose:
    """Whose video the picture would be for.

    Attributes:
        channel_id: None: of no channel that is known.
        subscribers: None: not known.
    """

    channel_id: str | None
    subscribers: int | None


@dataclass(frozen=True)
class Pictures:
    """Thumbnails with their bytes."""

    videos: Sequence[Shown]
    contents: Sequence[bytes]


def whose(context: Context, channel: str | None, subscribers: int | None) -> Whose:
    """Find the channel that was named.

    Raises:
        UsageError: It is not known, not a channel, or hides its subscribers.
    """
    if channel is None:
        return Whose(None, subscribers)
    reference = parse_channel(channel)
    with context.transaction() as session:
        if reference.kind is ReferenceKind.ID:
            channel_id = next(iter(channels.known(session, [reference.value])), None)
        else:
            handle = "@" + reference.value.lower()
            channel_id = channels.by_handles(session, [handle]).get(handle)
        sizes = comparable.channels_by_size(session)
    if channel_id is None:
        raise UsageError(
            f"channel {channel} is not known here",
            reason="channelUnknown",
            hint=f"`tubegrader channels crawl {channel}`, or give --subscribers instead of"
            " --channel",
        )
    size = sizes.get(channel_id) if subscribers is None else subscribers
    if size is None:
        hidden = channel_id in sizes
        raise UsageError(
            f"channel {channel} hides its subscribers"
            if hidden
            else f"the subscribers of channel {channel} were not read yet",
            reason="subscribersHidden" if hidden else "subscribersUnknown",
            hint="add --subscribers N with your own estimate"
            if hidden
            else f"`tubegrader channels crawl {channel}`, or add --subscribers N",
        )
    return Whose(channel_id, size)


def own_thumbnails(context: Context, who: Whose) -> Pictures:
    """Return the thumbnails of the channel's own newest videos."""
    named = [who.channel_id] if who.channel_id else []
    return _pictures(context, named, per_channel=MOST_OWN)


def like_sized_thumbnails(context: Context, who: Whose, allowed: Sequence[str] | None) -> Pictures:
    """Return thumbnails of the channels nearest in size, a few of each; of all sizes if unknown.

    Args:
        context: What to work with.
        who: Whose channel it is; it is left out.
        allowed: Only these channels; None: any.
    """
    with context.transaction() as session:
        sizes = comparable.channels_by_size(session)
    chosen = set(sizes) - {who.channel_id or ""}
    if allowed is not None:
        chosen &= set(allowed)
    if who.subscribers is None:
        near = sorted(chosen, key=lambda c: hashlib.sha256(c.encode()).digest())
    else:
        off = {c: _off(sizes[c], who.subscribers) for c in chosen}
        near = sorted((c for c in chosen if off[c] <= math.log(ALIKE)), key=lambda c: (off[c], c))
    return _pictures(context, near[:MOST_CHANNELS], per_channel=PER_CHANNEL)


def _off(size: int | None, wanted: int) -> float:
    return math.inf if size is None else abs(math.log((size + 1) / (wanted + 1)))


def _pictures(context: Context, channel_ids: Sequence[str], *, per_channel: int) -> Pictures:
    with context.transaction() as session:
        shown = comparable.shown_thumbnails(session, channel_ids, per_channel=per_channel)
    names = [video.thumbnail_sha256 for video in shown]
    try:
        return Pictures(shown, context.store.get_many(names))
    except PermanentError:
        return _stored_only(context, shown)


def _stored_only(context: Context, shown: Sequence[Shown]) -> Pictures:
    """Take one by one what a purge has left meanwhile."""
    kept, contents = [], []
    for video in shown:
        try:
            contents.append(context.store.get(video.thumbnail_sha256))
        except PermanentError:
            continue
        kept.append(video)
    return Pictures(kept, contents)
