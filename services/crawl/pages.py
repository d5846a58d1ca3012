"""Channels that a page links to: a browser's bookmarks, or YouTube's own list as it was saved."""

import email
import re
from collections.abc import Sequence
from html import unescape
from urllib.parse import urlsplit

from services.errors import UsageError
from services.naming import parse_channel
from services.youtube.identifiers import ChannelReference, ReferenceKind

_PAGE = re.compile(
    r"<(?:!doctype\s+(?:html|netscape-bookmark)|(?:html|head|body|title|meta|div|dl|ul|ol|p|a)\b)",
    re.IGNORECASE,
)
_ARCHIVE = re.compile(
    rb"(?:[\w-]+:[^\n]*\n|[ \t][^\n]*\n){1,20}?Content-Type:\s*multipart/related", re.IGNORECASE
)
"""A browser's archive of a page (MHTML) begins like a letter."""
_PROLOGUE = re.compile(r"(?:<!--.*?-->|<\?xml.*?\?>|\s)*", re.DOTALL)
_PLACES = re.compile(
    r"<a\s(?P<attributes>[^<>]{1,8000})>"
    r'|"channelRenderer":\s*\{\s*"channelId":\s*"(?P<id>UC[\w-]{22})"',
    re.IGNORECASE | re.ASCII,
)
"""Links, and how a list of YouTube's names channels before a browser has drawn it.

Not by html.parser, whose time grows with the square of what was never closed.
"""
_HREF = re.compile(r"""\bhref\s*=\s*("[^"]*"|'[^']*'|[^\s"'>]+)""", re.IGNORECASE)
_NO_CHANNELS = frozenset(
    {
        *("about", "account", "ads", "creators", "gaming", "hashtag", "howyoutubeworks", "kids"),
        *("movies", "music", "new", "paid_memberships", "premium", "red", "reporthistory"),
        *("source", "sports", "static", "t", "trending", "upload"),
    }
)
"""First steps of addresses on youtube.com that look like an old custom name and are none."""

Linked = Sequence[tuple[int, str]]
"""Lines, and what is linked to there."""


def unpacked(content: bytes) -> bytes:
    """Return the page that is in a browser's archive, or what is no archive as it is."""
    if not _ARCHIVE.match(content):
        return content
    for part in email.message_from_bytes(content).walk():
        if part.get_content_type() == "text/html":
            page = part.get_payload(decode=True)
            return page if isinstance(page, bytes) else content
    return content


def is_page(text: str) -> bool:
    """Tell whether a text is HTML: no XML that lists feeds."""
    start = _PROLOGUE.match(text)
    return _PAGE.match(text, start.end() if start else 0) is not None


def linked_channels(text: str) -> Linked:
    """Return the channels that a page links to, each once, in its order; other links are none."""
    seen: set[ChannelReference] = set()
    found = []
    line, at = 1, 0
    for place in _PLACES.finditer(text):
        address = place["id"] or _address(place["attributes"])
        reference = _channel(address)
        if reference is not None and reference not in seen:
            seen.add(reference)
            line += text.count("\n", at, place.start())
            at = place.start()
            found.append((line, address))
    return found


def _address(attributes: str) -> str:
    found = _HREF.search(attributes)
    return unescape(found[1].strip("\"' ")) if found else ""


def _channel(address: str) -> ChannelReference | None:
    try:
        reference = parse_channel(address)
        first = urlsplit(address).path.strip("/").partition("/")[0]
    except (UsageError, ValueError):
        return None
    is_bare = reference.kind is ReferenceKind.CUSTOM and first != "c"
    return None if is_bare and first.lower() in _NO_CHANNELS else reference
