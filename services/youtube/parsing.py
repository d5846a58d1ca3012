"""From the Data API's JSON to facts. Whatever comes, only ``MalformedItemError`` leaves here.

What is no value of the documented kind is damage: its item is refused, and asked for again. What is
one, and new to us or beyond what can be kept, will be the same next time: it is None, noted as an
oddity, and the rest of the item is taken.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from services.youtube.facts import (
    UNKNOWN_LIVE_STATE,
    ChannelFacts,
    Oddity,
    Refusal,
    Upload,
    VideoFacts,
    VideoStatistics,
)
from services.youtube.identifiers import is_channel_id, is_playlist_id, is_video_id

Json = Mapping[str, Any]

LARGEST_COUNT, LARGEST_SENT = 2**63 - 1, 2**64 - 1
"""PostgreSQL's bigint. YouTube's counts are uint64, so more than this can arrive."""
LONGEST_DURATION_S = 2**31 - 1


class MalformedItemError(Exception):
    """One item of an answer cannot be taken; ``reason`` is a stable word."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason

    def refusal(self, item_id: str) -> Refusal:
        """Return this failure as an entry of the answer's ``refused`` list."""
        return Refusal(item_id, self.reason, str(self))


def parse_channel(item: Json) -> ChannelFacts:
    """Return the facts of a ``youtube#channel`` resource.

    Raises:
        MalformedItemError: the id, a count or a time is not what the API documents.
    """
    channel_id = text(item, "id")
    if channel_id is None or not is_channel_id(channel_id):
        raise MalformedItemError("malformedId", "the channel has no valid id")
    snippet = section(item, "snippet")
    statistics = section(item, "statistics")
    custom_url = text(snippet, "customUrl")
    hidden = flag(statistics, "hiddenSubscriberCount")
    odd: list[Oddity] = []
    counts = {
        # A hidden count is sent as absent or as "0"; neither is a number of people.
        "subscriber_count": None if hidden else count(statistics, "subscriberCount", odd),
        "view_count": count(statistics, "viewCount", odd),
        "video_count": count(statistics, "videoCount", odd),
    }
    uploads = text(section(section(item, "contentDetails"), "relatedPlaylists"), "uploads")
    return ChannelFacts(
        channel_id=channel_id,
        title=text(snippet, "title"),
        # Old custom URLs come without "@" and are no handles.
        handle=custom_url if custom_url is not None and custom_url.startswith("@") else None,
        country=text(snippet, "country"),
        default_language=text(snippet, "defaultLanguage"),
        published_at=moment(snippet, "publishedAt"),
        uploads_playlist_id=uploads if uploads is not None and is_playlist_id(uploads) else None,
        odd=tuple(odd),
        **counts,
    )


def parse_upload(item: Json) -> Upload:
    """Return one entry of a ``youtube#playlistItemListResponse``.

    Raises:
        MalformedItemError: there is no valid video id, or the time is malformed.
    """
    details = section(item, "contentDetails")
    video_id = text(details, "videoId")
    if video_id is None or not is_video_id(video_id):
        raise MalformedItemError("malformedId", "the playlist entry names no valid video id")
    return Upload(video_id, moment(details, "videoPublishedAt"))


def parse_video(item: Json) -> VideoFacts:
    """Return the facts of a ``youtube#video`` resource.

    Raises:
        MalformedItemError: an id, a count, a time or the duration is not what the API documents.
    """
    statistics = parse_statistics(item)
    snippet = section(item, "snippet")
    status = section(item, "status")
    channel_id = text(snippet, "channelId")
    if channel_id is None or not is_channel_id(channel_id):
        raise MalformedItemError("malformedId", "the video names no valid channel")
    odd = list(statistics.odd)
    duration_s = duration(section(item, "contentDetails"), "duration", odd)
    state = live_state(snippet, "liveBroadcastContent", odd)
    return VideoFacts(
        video_id=statistics.video_id,
        channel_id=channel_id,
        statistics=statistics,
        title=text(snippet, "title"),
        published_at=moment(snippet, "publishedAt"),
        duration_s=duration_s,
        category_id=text(snippet, "categoryId"),
        default_language=text(snippet, "defaultLanguage"),
        default_audio_language=text(snippet, "defaultAudioLanguage"),
        live_broadcast_content=state,
        scheduled_start_at=moment(section(item, "liveStreamingDetails"), "scheduledStartTime"),
        actual_start_at=moment(section(item, "liveStreamingDetails"), "actualStartTime"),
        privacy_status=text(status, "privacyStatus"),
        upload_status=text(status, "uploadStatus"),
        made_for_kids=flag(status, "madeForKids"),
        odd=tuple(odd),
    )


def parse_statistics(item: Json) -> VideoStatistics:
    """Return the counts of a ``youtube#video`` or ``youtube#videoStats`` resource.

    Raises:
        MalformedItemError: the id or a count is not what the API documents.
    """
    video_id = text(item, "id")
    if video_id is None or not is_video_id(video_id):
        raise MalformedItemError("malformedId", "the video has no valid id")
    statistics = section(item, "statistics")
    odd: list[Oddity] = []
    return VideoStatistics(
        video_id=video_id,
        view_count=count(statistics, "viewCount", odd),
        like_count=count(statistics, "likeCount", odd),
        comment_count=count(statistics, "commentCount", odd),
        odd=tuple(odd),
    )


def section(item: Json, key: str) -> Json:
    """Return the object under ``key``; an absent one is empty."""
    value = item.get(key)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise MalformedItemError("malformedItem", f"{key} is not an object")
    return value


def text(item: Json, key: str) -> str | None:
    """Return the text under ``key`` as PostgreSQL can store it."""
    value = item.get(key)
    if value is None:
        return None
    if not isinstance(value, str):
        raise MalformedItemError("malformedText", f"{key} is not text")
    return clean_text(value)


def clean_text(value: str) -> str:
    """Drop NUL and replace lone surrogates: PostgreSQL's text can hold neither."""
    value = value.replace("\x00", "")
    try:
        value.encode()
    except UnicodeEncodeError:
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return value


_COUNT = re.compile(r"[0-9]{1,20}")  # 20 digits hold every uint64


def count(item: Json, key: str, odd: list[Oddity]) -> int | None:
    """Return the count under ``key``: a string of decimal digits, or absent.

    One that 64 bits hold and PostgreSQL does not is odd.
    """
    value = item.get(key)
    if value is None:
        return None
    if not (isinstance(value, str) and _COUNT.fullmatch(value)):
        raise MalformedItemError("malformedCount", f"{key} is not a count: {_shown(value)}")
    number = int(value)
    if number > LARGEST_SENT:
        raise MalformedItemError("malformedCount", f"{key} exceeds 64 bits: {value}")
    if number > LARGEST_COUNT:
        odd.append(Oddity("countTooLarge", key, _shown(value)))
        return None
    return number


def flag(item: Json, key: str) -> bool | None:
    """Return the boolean under ``key``."""
    value = item.get(key)
    if value is None or isinstance(value, bool):
        return value
    raise MalformedItemError("malformedFlag", f"{key} is neither true nor false")


def live_state(item: Json, key: str, odd: list[Oddity]) -> str | None:
    """Return ``none``, ``upcoming`` or ``live``; a completed stream is an ordinary video.

    Any other word is odd.
    """
    value = text(item, key)
    if value is None or value in {"none", "upcoming", "live"}:
        return value
    if value == "completed":
        return "none"
    odd.append(Oddity(UNKNOWN_LIVE_STATE, key, _shown(value)))
    return None


def moment(item: Json, key: str) -> datetime | None:
    """Return the RFC 3339 time under ``key``, in UTC."""
    value = item.get(key)
    if value is None:
        return None
    try:
        return parse_moment(value)
    except ValueError as error:
        raise MalformedItemError("malformedTime", f"{key}: {error}") from None


_LEAP_SECOND = re.compile(r"(?<=T[0-9]{2}:[0-9]{2}:)60")


def parse_moment(value: object) -> datetime:
    """Return an RFC 3339 time in UTC; a leap second is the one before it.

    Raises:
        ValueError: it is no such time, or it has no time zone.
    """
    if not isinstance(value, str):
        raise ValueError("not a time")  # noqa: TRY004 - one kind for all malformed input
    try:
        parsed = datetime.fromisoformat(_LEAP_SECOND.sub("59", value.upper()))
        in_utc = parsed.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"not a time: {_shown(value)}") from None
    if parsed.tzinfo is None:
        raise ValueError(f"a time without its zone: {_shown(value)}")
    return in_utc


_DURATION = re.compile(
    r"P(?:([0-9]{1,9})W)?(?:([0-9]{1,9})D)?"
    r"(?:T(?:([0-9]{1,9})H)?(?:([0-9]{1,9})M)?(?:([0-9]{1,9})S)?)?"
)
_ANY_DURATION = re.compile(
    r"P(?=.)(?:[0-9]{1,40}(?:[.,][0-9]{1,40})?[YMWD]){0,4}"
    r"(?:T(?:[0-9]{1,40}(?:[.,][0-9]{1,40})?[HMS]){1,3})?"
)
"""Of ISO 8601: with months, years and fractions, which are no number of whole seconds, and with
any number that is none of a video's."""
_SECONDS = (604_800, 86_400, 3_600, 60, 1)


def duration(item: Json, key: str, odd: list[Oddity]) -> int | None:
    """Return the ISO 8601 duration under ``key`` in seconds (``PT1H2M3S``, ``P0D``).

    One that is no number of whole seconds, or of more than can be kept, is odd.
    """
    value = item.get(key)
    if value is None:
        return None
    if not (isinstance(value, str) and _ANY_DURATION.fullmatch(value)):
        raise MalformedItemError("malformedDuration", f"{key} is no duration: {_shown(value)}")
    if (matched := _DURATION.fullmatch(value)) is not None:
        parts = matched.groups(default="0")
        seconds = sum(int(part) * unit for part, unit in zip(parts, _SECONDS, strict=True))
        if seconds <= LONGEST_DURATION_S:
            return seconds
    odd.append(Oddity("oddDuration", key, _shown(value)))
    return None


def _shown(value: object) -> str:
    """Show what came, short and on one line whatever it is."""
    return ascii(value)[:40]
