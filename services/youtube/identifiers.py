"""What people type for a channel, and the ids YouTube uses."""

import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import parse_qs, unquote, urlsplit

from services.errors import UsageError

_CHANNEL_ID = re.compile(r"UC[A-Za-z0-9_-]{22}")
_VIDEO_ID = re.compile(r"[A-Za-z0-9_-]{11}")
_PLAYLIST_ID = re.compile(r"[A-Za-z0-9_-]{2,64}")
_UPLOADS_ID = re.compile(r"UU(?:LF|SH|LV|LP|PS|PV|MF|MO|MS|MV)?([A-Za-z0-9_-]{22})")
"""Playlists of all uploads of a channel, or of its videos, shorts, streams and so on."""
_HOSTS = frozenset({"youtube.com", "youtube-nocookie.com", "www.youtube-nocookie.com"})
_FRONT_ENDS = re.compile(
    r"(?:[a-z0-9-]+\.)*(?:invidious|inv|piped)[a-z0-9-]*(?:\.[a-z0-9-]+)+|yewtu\.be|vid\.puffyan\.us"
)
"""Hosts of Invidious and Piped, whose addresses have YouTube's paths; they are never asked."""
_FORMS = "Give a channel id (UC…), a handle (@name) or the address of the channel's page."
_LONGEST_NAME = 100
"""Handles have at most 30 characters; old user and custom names may be longer."""
_PAGES = frozenset(
    {
        *("watch", "shorts", "live", "embed", "v", "playlist", "feed", "results", "post"),
        *("account", "ads", "api", "attribution_link", "clip", "creators", "e", "gaming"),
        *("hashtag", "howyoutubeworks", "iframe_api", "img", "kids", "logout", "m", "movies"),
        *("oembed", "paid_memberships", "premium", "redirect", "reporthistory", "signin", "source"),
        *("t", "upload", "view_play_list", "vi"),
    }
)
"""Paths of youtube.com that are no channel."""
_OTHER_HOSTS = frozenset(f"{name}.youtube.com" for name in ("accounts", "consent", "gdata", "i"))
_TABS = frozenset(
    {
        *(
            "about",
            "channels",
            "community",
            "courses",
            "discussion",
            "featured",
            "live",
            "playlists",
        ),
        *("podcasts", "posts", "releases", "search", "shorts", "store", "streams", "videos"),
    }
)
"""Pages of a channel behind its name."""
_QUOTES = {'"': '"', "'": "'", "`": "`", "“": "”", "„": "“”", "‘": "’", "«": "»", "<": ">"}


class ReferenceKind(StrEnum):
    """How a channel was named."""

    ID = "id"
    HANDLE = "handle"
    USERNAME = "username"
    CUSTOM = "custom"


@dataclass(frozen=True, slots=True)
class ChannelReference:
    """A channel as somebody named it; ``value`` is the bare id or name, a handle without ``@``."""

    kind: ReferenceKind
    value: str


def is_channel_id(value: str) -> bool:
    """Tell whether ``value`` has the form of a channel id: ``UC`` and 22 more characters."""
    return _CHANNEL_ID.fullmatch(value) is not None


def is_video_id(value: str) -> bool:
    """Tell whether ``value`` has the form of a video id: 11 of ``A-Z a-z 0-9 _ -``."""
    return _VIDEO_ID.fullmatch(value) is not None


def is_playlist_id(value: str) -> bool:
    """Tell whether ``value`` can be a playlist id."""
    return _PLAYLIST_ID.fullmatch(value) is not None


def parse_channel_reference(typed: str) -> ChannelReference:
    """Read a channel id, an ``@handle`` or a channel's address.

    Raises:
        UsageError: it is none of these; the message says what to give instead.
    """
    value = tidied(typed)
    if "/" not in value and "%" in value:
        value = unicodedata.normalize("NFC", unquote(value))
    if is_channel_id(value):
        return ChannelReference(ReferenceKind.ID, value)
    if value.startswith("@"):
        return _named(ReferenceKind.HANDLE, value[1:], typed)
    if "/" in value:
        return _from_address(value, typed)
    if _is_name(value) and not value.startswith("UC") and "." not in value:
        raise _unreadable(typed, f"If it is a handle, write @{value}.")
    raise _unreadable(typed)


def tidied(typed: str) -> str:
    """Return what was typed without what came along unseen: marks, spaces, quotes around it."""
    seen = "".join(c for c in typed if unicodedata.category(c) != "Cf")
    value = unicodedata.normalize("NFC", seen).strip().rstrip(",;").rstrip()
    while len(value) > 1 and value[-1] in _QUOTES.get(value[0], ""):
        value = value[1:-1].strip()
    # A cell of a table that was written for spreadsheets.
    return value[1:] if value.startswith("'@") else value


def _from_address(value: str, typed: str) -> ChannelReference:
    if value.startswith(("/@", "/channel/")):
        value = "youtube.com" + value
    steps, query = _steps(value, typed)
    match steps:
        case ["feeds", "videos.xml"] | ["playlist"]:
            return _from_query(query, typed)
        case ["feed", "channel", channel_id] if is_channel_id(channel_id):
            return ChannelReference(ReferenceKind.ID, channel_id)
        case [handle, *_] if handle.startswith("@"):
            return _named(ReferenceKind.HANDLE, handle[1:], typed)
        case ["channel", channel_id, *_] if is_channel_id(channel_id):
            return ChannelReference(ReferenceKind.ID, channel_id)
        case ["user", name, *_]:
            return _named(ReferenceKind.USERNAME, name, typed)
        case ["c", name, *_]:
            return _named(ReferenceKind.CUSTOM, name, typed)
        case [name, *tab] if name not in _PAGES | {"channel", "user", "c"} and (
            not tab or (tab[0] in _TABS and name != "feeds")
        ):
            return _named(ReferenceKind.CUSTOM, name, typed)
        case [page, *_] if page in _PAGES:
            raise _unreadable(typed, "That page is no channel.")
        case _:
            raise _unreadable(typed)


def _from_query(query: str, typed: str) -> ChannelReference:
    """Read whose the feed or list of uploads is that an address asks for."""
    try:
        asked = {name: values[0].strip() for name, values in parse_qs(query).items()}
    except ValueError:
        raise _unreadable(typed) from None
    channel_id = asked.get("channel_id", "")
    if is_channel_id(channel_id):
        return ChannelReference(ReferenceKind.ID, channel_id)
    if "user" in asked:
        return _named(ReferenceKind.USERNAME, asked["user"], typed)
    uploads = _UPLOADS_ID.fullmatch(asked.get("playlist_id") or asked.get("list", ""))
    if uploads:
        return ChannelReference(ReferenceKind.ID, "UC" + uploads[1])
    raise _unreadable(typed, "That is a list of videos, and no channel's uploads.")


def _steps(value: str, typed: str) -> tuple[list[str], str]:
    """Split an address on youtube.com, which may lack its scheme, into steps and query."""
    try:
        parts = urlsplit(value if "://" in value else f"https://{value.removeprefix('//')}")
        host = parts.hostname
    except ValueError:
        raise _unreadable(typed) from None
    if parts.scheme not in {"http", "https"} or host is None:
        raise _unreadable(typed)
    if host in _OTHER_HOSTS:
        raise _unreadable(typed, "That page is no channel.")
    if host == "youtu.be":
        raise _unreadable(typed, "That is the address of a video.")
    if not (host in _HOSTS or host.endswith(".youtube.com") or _FRONT_ENDS.fullmatch(host)):
        raise _unreadable(typed, "The address is not on youtube.com.")
    steps = [unicodedata.normalize("NFC", unquote(step)) for step in parts.path.split("/") if step]
    return steps, parts.query


def _named(kind: ReferenceKind, name: str, typed: str) -> ChannelReference:
    if not _is_name(name):
        raise _unreadable(typed)
    return ChannelReference(kind, name)


def _is_name(name: str) -> bool:
    """Letters, marks and digits of any script, and the punctuation YouTube admits in names."""
    return 0 < len(name) <= _LONGEST_NAME and all(
        unicodedata.category(character)[0] in "LMN" or character in "_-.·" for character in name
    )


def _unreadable(typed: str, because: str = "") -> UsageError:
    shown = "".join(c if c.isprintable() else "?" for c in typed.strip())
    if len(shown) > _LONGEST_NAME:
        shown = shown[:_LONGEST_NAME] + "…"
    return UsageError(
        f"“{shown}” does not name a YouTube channel.",
        hint=f"{because} {_FORMS}".strip(),
        reason="badChannelReference",
    )
