"""``search.list``: words and dates over the catalogue."""

from datetime import UTC, datetime
from html import escape
from typing import Any

from services.emulator.catalog import Catalog
from services.emulator.problems import bad_parameter
from services.emulator.query import Query, paginate
from services.emulator.resources import (
    Json,
    broadcast_state,
    channel_pictures,
    etag,
    timestamp,
    video_pictures,
)
from services.emulator.videos import Channel, Video

# YouTube lists at most about this many results of one search, whatever it claims to have found.
LONGEST_SEARCH = 500

_PARTS = frozenset({"id", "snippet"})
_ORDERS = frozenset({"date", "rating", "relevance", "title", "videoCount", "viewCount"})


def search_list(catalog: Catalog, query: Query, at: datetime) -> Json:
    """Channels and videos by words (all must occur), channel and dates."""
    wanted = query.parts(_PARTS)
    kinds = query.many("type") or ["channel", "video"]
    order = query.one("order") or "relevance"
    if order not in _ORDERS:
        raise bad_parameter("order", f"Invalid value '{order}' for the order.")
    words = (query.one("q") or "").casefold().split()
    channels = _channels(catalog, query, words, at) if "channel" in kinds else []
    videos = _videos(catalog, query, words, at) if "video" in kinds else []
    if order == "date":
        videos.sort(key=lambda video: video.published_at, reverse=True)
    elif order == "title":
        videos.sort(key=lambda video: video.title)
    elif order != "videoCount":
        videos.sort(key=lambda video: catalog.views(video, at), reverse=True)
    found: list[Channel | Video] = [*channels, *videos]
    scope = f"search {kinds} {order} {words} {query.one('channelId')}"
    page = paginate(found[:LONGEST_SEARCH], query, scope, total=len(found))
    items = [_result(catalog, result, wanted, at) for result in page.items]
    return {"regionCode": query.one("regionCode") or "US"} | page.frame | {"items": items}


def _channels(catalog: Catalog, query: Query, words: list[str], at: datetime) -> list[Channel]:
    within = query.one("channelId")
    return [
        channel
        for channel in catalog.channels.values()
        if catalog.standing(channel, at) == "open"
        and within in {None, channel.channel_id}
        and _mentions(words, channel.title, channel.description)
    ]


def _videos(catalog: Catalog, query: Query, words: list[str], at: datetime) -> list[Video]:
    within = query.one("channelId")
    after, before = _moment(query, "publishedAfter"), _moment(query, "publishedBefore")
    return [
        video
        for video in catalog.videos.values()
        if catalog.visible(video, at)
        and within in {None, video.channel_id}
        and (after is None or video.published_at >= after)
        and (before is None or video.published_at < before)
        and _mentions(words, video.title, video.description)
    ]


def _mentions(words: list[str], *texts: str) -> bool:
    text = " ".join(texts).casefold()
    return all(word in text for word in words)


def _moment(query: Query, name: str) -> datetime | None:
    text = query.one(name)
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise bad_parameter(name, f"Invalid value '{text}': RFC 3339 is expected.") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _result(catalog: Catalog, found: Channel | Video, wanted: frozenset[str], at: datetime) -> Json:
    """Return a ``youtube#searchResult``; alone among the resources its ``id`` is an object."""
    identity: dict[str, str]
    details: dict[str, Any]
    if isinstance(found, Channel):
        identity = {"kind": "youtube#channel", "channelId": found.channel_id}
        title, state, pictures = found.title, "none", channel_pictures(found)
    else:
        identity = {"kind": "youtube#video", "videoId": found.video_id}
        title = catalog.channels[found.channel_id].title
        state, pictures = broadcast_state(found, at), video_pictures(found, largest="high")
    body: Json = {"kind": "youtube#searchResult", "etag": "", "id": identity}
    if "snippet" in wanted:
        details = {
            "publishedAt": timestamp(found.published_at),
            "channelId": found.channel_id,
            # Texts of search results come HTML-escaped, unlike anywhere else in the API.
            "title": escape(found.title),
            "description": escape(found.description[:120]),
            "thumbnails": pictures,
            "channelTitle": title,
            "liveBroadcastContent": state,
        }
        body["snippet"] = details
    body["etag"] = etag(body)
    return body
