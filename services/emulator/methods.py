"""The methods of the Data API that are served, each a function of a request and a moment."""

import base64
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.emulator.catalog import Catalog
from services.emulator.problems import ApiError, bad_filters, no_such_playlist, not_authorized
from services.emulator.query import Query, paginate
from services.emulator.quota import Bucket
from services.emulator.resources import (
    Json,
    broadcast_state,
    channel_resource,
    resource,
    timestamp,
    video_pictures,
    video_resource,
    video_statistics,
)
from services.emulator.search import search_list
from services.emulator.videos import Video

# YouTube stops listing an uploads playlist at about this many items.
LONGEST_PLAYLIST = 20_000

_CHANNEL_PARTS = frozenset(
    {
        "brandingSettings",
        "contentDetails",
        "id",
        "localizations",
        "snippet",
        "statistics",
        "status",
        "topicDetails",
    }
)
_CHANNEL_PRIVATE_PARTS = frozenset({"auditDetails", "contentOwnerDetails"})
_VIDEO_PARTS = frozenset(
    {
        "contentDetails",
        "id",
        "liveStreamingDetails",
        "localizations",
        "paidProductPlacementDetails",
        "player",
        "recordingDetails",
        "snippet",
        "statistics",
        "status",
        "topicDetails",
    }
)
_VIDEO_PRIVATE_PARTS = frozenset({"fileDetails", "processingDetails", "suggestions"})
_ITEM_PARTS = frozenset({"contentDetails", "id", "snippet", "status"})
_STATS_PARTS = frozenset({"contentDetails", "id", "snippet", "statistics"})


@dataclass(frozen=True, slots=True)
class Method:
    """One method.

    Attributes:
        name: As the client calls it, for counting.
        bucket: The quota bucket it draws from.
        response: The response's schema in the discovery document.
        answer: Makes the response body.
    """

    name: str
    bucket: Bucket
    response: str
    answer: Callable[[Catalog, Query, datetime], Json]


def channels_list(catalog: Catalog, query: Query, at: datetime) -> Json:
    """Channels by id or handle. Gone channels are left out; with none left ``items`` is absent."""
    wanted = query.parts(_CHANNEL_PARTS, _CHANNEL_PRIVATE_PARTS)
    if query.one("mine") or query.one("managedByMe") or query.one("mySubscribers"):
        raise not_authorized("What the caller owns")
    chosen = query.only_filter("id", "forHandle", "forUsername")
    if chosen == "id":
        ids = query.many("id")
    else:
        name = (query.one(chosen) or "").removeprefix("@").casefold()
        # Legacy user names have gone out of use; nobody here has one.
        ids = [
            channel.channel_id
            for channel in catalog.channels.values()
            if chosen == "forHandle" and (channel.handle or "").removeprefix("@").casefold() == name
        ]
    found = [
        channel
        for channel_id in ids
        if (channel := catalog.channels.get(channel_id)) and catalog.standing(channel, at) == "open"
    ]
    page = paginate(found, query, f"channels {','.join(ids)}")
    items = [channel_resource(catalog, channel, wanted, at) for channel in page.items]
    return page.frame | ({"items": items} if items else {})


def playlist_items_list(catalog: Catalog, query: Query, at: datetime) -> Json:
    """The items of a channel's uploads playlist, newest first."""
    wanted = query.parts(_ITEM_PARTS)
    if query.only_filter("playlistId", "id") == "id":
        raise bad_filters(
            "invalidFilters", "Only playlistId is served here, not the items' own ids."
        )
    playlist_id = query.one("playlistId") or ""
    uploads = _playlist(catalog, playlist_id, at)
    places = list(enumerate(uploads))
    only = query.one("videoId")
    if only is not None:
        places = [place for place in places if place[1].video_id == only]
    page = paginate(places, query, f"playlistItems {playlist_id} {only}")
    items = [
        _playlist_item(catalog, playlist_id, position, video, wanted)
        for position, video in page.items
    ]
    return page.frame | {"items": items}


def videos_list(catalog: Catalog, query: Query, at: datetime) -> Json:
    """Videos by id, as asked for; gone ones are left out. There are no pages here."""
    wanted = query.parts(_VIDEO_PARTS, _VIDEO_PRIVATE_PARTS)
    if query.only_filter("id", "chart", "myRating") != "id":
        raise bad_filters("invalidFilters", "Only the filter id is served here.")
    found = [video_resource(catalog, video, wanted, at) for video in _videos(catalog, query, at)]
    info = {"totalResults": len(found), "resultsPerPage": len(found)}
    return {"items": found, "pageInfo": info}


def videos_batch_get_stats(catalog: Catalog, query: Query, at: datetime) -> Json:
    """Counts, duration and publish time by id; its shapes differ from those of ``videos.list``."""
    wanted = query.parts(_STATS_PARTS)
    query.only_filter("id")
    return {"items": [_stats(catalog, video, wanted, at) for video in _videos(catalog, query, at)]}


METHODS = {
    "channels": Method("channels.list", "units", "ChannelListResponse", channels_list),
    "playlistItems": Method(
        "playlistItems.list", "units", "PlaylistItemListResponse", playlist_items_list
    ),
    "videos": Method("videos.list", "units", "VideoListResponse", videos_list),
    "videos:batchGetStats": Method(
        "videos.batchGetStats", "stats", "BatchGetStatsResponse", videos_batch_get_stats
    ),
    "search": Method("search.list", "searches", "SearchListResponse", search_list),
}
"""By path below ``/youtube/v3/``."""


def _videos(catalog: Catalog, query: Query, at: datetime) -> list[Video]:
    return [video for id_ in query.many("id") if (video := catalog.video(id_, at)) is not None]


def _playlist(catalog: Catalog, playlist_id: str, at: datetime) -> list[Video]:
    """Return the videos of UU… (all), UULF… (long), UUSH… (Shorts) or UULV… (streams).

    Raises:
        ApiError: 404 if it is unknown or empty, 403 if its channel was closed or suspended.
    """
    keep: dict[str, Callable[[Video], bool]] = {
        "UU": lambda _video: True,
        "UULF": lambda video: not video.short and not _is_broadcast(video, at),
        "UUSH": lambda video: video.short,
        "UULV": lambda video: _is_broadcast(video, at),
    }
    prefix = playlist_id[:-22]
    channel = catalog.channels.get(f"UC{playlist_id[-22:]}")
    if channel is None or prefix not in keep:
        raise no_such_playlist()
    standing = catalog.standing(channel, at)
    if standing != "open":
        reason = "channelClosed" if standing == "closed" else "channelSuspended"
        message = f"The channel of this playlist has been {standing}."
        raise ApiError(403, reason, message, domain="youtube.playlistItem", location="playlistId")
    uploads = [video for video in catalog.uploads(channel.channel_id, at) if keep[prefix](video)]
    if not uploads:
        raise no_such_playlist()
    return uploads[:LONGEST_PLAYLIST]


def _is_broadcast(video: Video, at: datetime) -> bool:
    """A stream stays one for ever; a premiere is an ordinary video once it was shown."""
    if video.stream is None:
        return False
    return not video.stream.premiere or broadcast_state(video, at) != "none"


def _playlist_item(
    catalog: Catalog, playlist_id: str, position: int, video: Video, wanted: frozenset[str]
) -> Json:
    title = catalog.channels[video.channel_id].title
    published_at = timestamp(video.published_at)
    identity = base64.urlsafe_b64encode(f"{playlist_id}.{video.video_id}".encode()).decode()
    parts: dict[str, Callable[[], Json]] = {
        "snippet": lambda: {
            "publishedAt": published_at,
            "channelId": video.channel_id,
            "title": video.title,
            "description": video.description,
            "thumbnails": video_pictures(video),
            "channelTitle": title,
            "playlistId": playlist_id,
            "position": position,
            "resourceId": {"kind": "youtube#video", "videoId": video.video_id},
            "videoOwnerChannelTitle": title,
            "videoOwnerChannelId": video.channel_id,
        },
        "contentDetails": lambda: {"videoId": video.video_id, "videoPublishedAt": published_at},
        "status": lambda: {"privacyStatus": "public"},
    }
    return resource("playlistItem", identity.rstrip("="), parts, wanted)


def _stats(catalog: Catalog, video: Video, wanted: frozenset[str], at: datetime) -> Json:
    duration: dict[str, Any] = {}
    if video.duration is not None:
        # A protobuf duration in seconds here, not the ISO 8601 one of videos.list.
        duration["duration"] = f"{int(video.duration.total_seconds())}s"
    parts: dict[str, Callable[[], Json]] = {
        "snippet": lambda: {"publishTime": timestamp(video.published_at)},
        "contentDetails": lambda: duration,
        "statistics": lambda: video_statistics(catalog, video, at),
    }
    return resource("videoStats", video.video_id, parts, wanted)
