"""A channel's RSS feed: its 15 newest videos, free of quota, and often out of order for hours.

A hint that something is new, never a proof that something is gone.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from services.errors import PermanentError, TransientError, UsageError
from services.youtube.download import (
    BodyTooLargeError,
    checked_base,
    download,
    open_session,
    refused_status,
)
from services.youtube.identifiers import is_channel_id, is_video_id
from services.youtube.parsing import clean_text, parse_moment

DEFAULT_BASE = "https://www.youtube.com"
LARGEST_FEED = 2_000_000
"""Bytes; 15 entries with full descriptions take a tenth."""

_ATOM = "{http://www.w3.org/2005/Atom}"
_YT = "{http://www.youtube.com/xml/schemas/2015}"


@dataclass(frozen=True, slots=True)
class FeedEntry:
    """A video of the feed; times are UTC, None where absent or malformed."""

    video_id: str
    title: str | None
    published_at: datetime | None
    updated_at: datetime | None


@dataclass(frozen=True, slots=True)
class Feed:
    """The feed of one channel, newest entry first."""

    channel_id: str
    title: str | None
    entries: tuple[FeedEntry, ...]


@dataclass(frozen=True, slots=True)
class NoHint:
    """The feed says nothing now; ``reason`` is for counting only."""

    channel_id: str
    reason: str


def fetch_feed(
    channel_id: str, *, base_url: str = DEFAULT_BASE, timeout_s: float = 10.0
) -> Feed | NoHint:
    """Fetch and read a channel's feed. Whatever goes wrong there is ``NoHint``.

    Raises:
        UsageError: ``channel_id`` or ``base_url`` is malformed.
    """
    if not is_channel_id(channel_id):
        raise UsageError(f"“{channel_id}” is no channel id.", reason="malformedId")
    address = f"{checked_base(base_url)}/feeds/videos.xml?channel_id={channel_id}"

    async def get() -> Feed | NoHint:
        async with open_session(concurrency=1, timeout_s=timeout_s) as session:
            answer = await download(session, address, max_bytes=LARGEST_FEED)
        if answer.status != 200:  # noqa: PLR2004
            return NoHint(channel_id, refused_status(answer.status, "feed").reason)
        feed = parse_feed(answer.content)
        return feed if feed.channel_id == channel_id else NoHint(channel_id, "feedOfAnother")

    try:
        return asyncio.run(get())
    except (PermanentError, TransientError) as error:
        return NoHint(channel_id, error.reason)
    except BodyTooLargeError:
        return NoHint(channel_id, "feedTooLarge")


def parse_feed(content: bytes) -> Feed:
    """Read a feed. Entries without a valid video id, or of another channel, are left out.

    Raises:
        PermanentError: ``malformedFeed``; it is no feed of a channel.
    """
    try:
        root = fromstring(content)
    except (ParseError, DefusedXmlException, ValueError, LookupError, RecursionError):
        raise _malformed() from None
    channel_id = _channel_id(root)
    if root.tag != f"{_ATOM}feed" or channel_id is None:
        raise _malformed()
    entries = [
        FeedEntry(
            video_id=video_id,
            title=_text(entry, f"{_ATOM}title"),
            published_at=_moment(entry, f"{_ATOM}published"),
            updated_at=_moment(entry, f"{_ATOM}updated"),
        )
        for entry in root.findall(f"{_ATOM}entry")
        if is_video_id(video_id := _text(entry, f"{_YT}videoId") or "")
        and _channel_id(entry) == channel_id
    ]
    return Feed(channel_id, _text(root, f"{_ATOM}title"), tuple(entries))


def _channel_id(element: Element) -> str | None:
    """Read ``yt:channelId``: whole in entries, without its ``UC`` at the top of a feed."""
    value = _text(element, f"{_YT}channelId") or ""
    return next((form for form in (value, f"UC{value}") if is_channel_id(form)), None)


def _text(element: Element, tag: str) -> str | None:
    value = element.findtext(tag)
    return clean_text(value.strip()) if value else None


def _moment(element: Element, tag: str) -> datetime | None:
    try:
        return parse_moment(_text(element, tag))
    except ValueError:
        return None


def _malformed() -> PermanentError:
    return PermanentError("That is no feed of a channel.", reason="malformedFeed")
