"""The resources of the Data API as JSON: one function a kind, one entry a ``part``."""

import base64
import hashlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic_core import to_json

from services.emulator.catalog import Catalog
from services.emulator.videos import Channel, Video

Json = dict[str, Any]

# Addresses inside answers are YouTube's own, also here: nobody may follow them offline, and the
# thumbnail host to use is a setting of the reader.
_SIZES = {
    "default": ("default", 120, 90),
    "medium": ("mqdefault", 320, 180),
    "high": ("hqdefault", 480, 360),
    "standard": ("sddefault", 640, 480),
    "maxres": ("maxresdefault", 1280, 720),
}
_ALWAYS_THERE = frozenset({"default", "mqdefault", "hqdefault"})


def resource(
    kind: str, identity: Any, parts: Mapping[str, Callable[[], Json]], wanted: frozenset[str]
) -> Json:
    """Return ``{kind, etag, id, part…}`` with the wanted parts in their usual order."""
    body: Json = {"kind": f"youtube#{kind}", "etag": "", "id": identity}
    body |= {name: make() for name, make in parts.items() if name in wanted}
    body["etag"] = etag(body)
    return body


def etag(body: Json) -> str:
    """Return a tag of 27 characters that changes with the content."""
    digest = hashlib.sha1(to_json(body), usedforsecurity=False).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def channel_resource(
    catalog: Catalog, channel: Channel, wanted: frozenset[str], at: datetime
) -> Json:
    """Return a ``youtube#channel``."""
    name = channel.channel_id
    localized = {"title": channel.title, "description": channel.description}

    def snippet() -> Json:
        body: Json = dict(localized)
        if channel.handle is not None:
            body["customUrl"] = channel.handle
        body["publishedAt"] = timestamp(channel.published_at)
        body["thumbnails"] = channel_pictures(channel)
        body["localized"] = localized
        return body | ({"country": channel.country} if channel.country else {})

    def statistics() -> Json:
        uploads = catalog.uploads(name, at)
        body: Json = {"viewCount": str(sum(catalog.views(video, at) for video in uploads))}
        hidden = catalog.hides_subscribers(channel, at)
        if not hidden:
            body["subscriberCount"] = str(shown_subscribers(catalog.subscribers(channel, at)))
        body["hiddenSubscriberCount"] = hidden
        body["videoCount"] = str(len(uploads))
        return body

    return resource(
        "channel",
        name,
        {
            "snippet": snippet,
            "contentDetails": lambda: {
                "relatedPlaylists": {"likes": "", "uploads": f"UU{name[2:]}"}
            },
            "statistics": statistics,
            "status": lambda: {
                "privacyStatus": "public",
                "isLinked": True,
                "longUploadsStatus": "longUploadsUnspecified",
                "madeForKids": False,
            },
            "brandingSettings": lambda: {
                "channel": localized,
                "image": {"bannerExternalUrl": f"https://yt3.googleusercontent.com/{name}"},
            },
        },
        wanted,
    )


def video_resource(catalog: Catalog, video: Video, wanted: frozenset[str], at: datetime) -> Json:
    """Return a ``youtube#video``; fields that the owner hides or nobody knows are left out."""
    parts: dict[str, Callable[[], Json]] = {
        "snippet": lambda: _video_snippet(catalog, video, at),
        "contentDetails": lambda: _content_details(video, at),
        "status": lambda: {
            "uploadStatus": _upload_status(video, at),
            "privacyStatus": "public",
            "license": "youtube",
            "embeddable": True,
            "publicStatsViewable": True,
            "madeForKids": False,
        },
        "statistics": lambda: video_statistics(catalog, video, at) | {"favoriteCount": "0"},
        "player": lambda: {"embedHtml": _player(video)},
    }
    if video.stream is not None:
        parts["liveStreamingDetails"] = lambda: _streaming_details(video, at)
    return resource("video", video.video_id, parts, wanted)


def _video_snippet(catalog: Catalog, video: Video, at: datetime) -> Json:
    body: Json = {
        "publishedAt": timestamp(video.published_at),
        "channelId": video.channel_id,
        "title": video.title,
        "description": video.description,
        "thumbnails": video_pictures(video),
        "channelTitle": catalog.channels[video.channel_id].title,
    }
    if video.tags:
        body["tags"] = list(video.tags)
    body["categoryId"] = video.category_id
    body["liveBroadcastContent"] = broadcast_state(video, at)
    body["localized"] = {"title": video.title, "description": video.description}
    if video.language is not None:
        body["defaultAudioLanguage"] = video.language
    return body


def _content_details(video: Video, at: datetime) -> Json:
    body: Json = {}
    premiere = video.stream is not None and video.stream.premiere
    if broadcast_state(video, at) != "none" and not premiere:
        body["duration"] = "P0D"
    elif video.duration is not None:
        body["duration"] = iso_duration(video.duration)
    return body | {
        "dimension": "2d",
        "definition": "hd",
        "caption": "false",
        "licensedContent": False,
        "contentRating": {},
        "projection": "rectangular",
    }


def video_statistics(catalog: Catalog, video: Video, at: datetime) -> Json:
    """Return the counts that are shown, as strings."""
    counts = {
        "viewCount": catalog.views(video, at),
        "likeCount": catalog.likes(video, at),
        "commentCount": catalog.comments(video, at),
    }
    return {name: str(count) for name, count in counts.items() if count is not None}


def _upload_status(video: Video, at: datetime) -> str:
    """A broadcast that is not over has been uploaded in no sense but YouTube's."""
    premiere = video.stream is not None and video.stream.premiere
    over = broadcast_state(video, at) == "none"
    return "processed" if over or premiere else "uploaded"


def _streaming_details(video: Video, at: datetime) -> Json:
    stream = video.stream
    assert stream is not None
    times = {
        "actualStartTime": stream.actual_start,
        "actualEndTime": stream.actual_end,
        "scheduledStartTime": stream.scheduled_start,
    }
    return {
        name: timestamp(time)
        for name, time in times.items()
        if time is not None and (time <= at or name == "scheduledStartTime")
    }


def _player(video: Video) -> str:
    address = f"//www.youtube.com/embed/{video.video_id}"
    return f'<iframe width="480" height="270" src="{address}" frameborder="0"></iframe>'


def video_pictures(video: Video, *, largest: str = "maxres") -> Json:
    """Return the ``thumbnails`` of a snippet, up to the size ``largest``."""
    pictures = {}
    for name, (file, width, height) in _SIZES.items():
        if file in _ALWAYS_THERE or file in video.sizes:
            url = f"https://i.ytimg.com/vi/{video.video_id}/{file}.jpg"
            pictures[name] = {"url": url, "width": width, "height": height}
        if name == largest:
            break
    return pictures


def channel_pictures(channel: Channel) -> Json:
    """Return the ``thumbnails`` of a channel: its avatar in three sizes."""
    base = f"https://yt3.ggpht.com/ytc/{channel.channel_id}"
    return {
        name: {"url": f"{base}=s{side}-c-k-c0x00ffffff-no-rj", "width": side, "height": side}
        for name, side in (("default", 88), ("medium", 240), ("high", 800))
    }


def broadcast_state(video: Video, at: datetime) -> str:
    """Return ``none``, ``upcoming`` or ``live``; a finished stream is an ordinary video."""
    stream = video.stream
    if stream is None or (stream.actual_end is not None and stream.actual_end <= at):
        return "none"
    started = stream.actual_start is not None and stream.actual_start <= at
    return "live" if started else "upcoming"


def shown_subscribers(count: int) -> int:
    """Return ``count`` rounded down to three significant figures, as YouTube shows it."""
    step: int = 10 ** max(len(str(count)) - 3, 0)
    return count // step * step


def timestamp(time: datetime) -> str:
    """Return ``time`` as the API writes it: UTC, whole seconds, ``Z``."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def iso_duration(duration: timedelta) -> str:
    """Return an ISO 8601 duration such as ``PT1H2M3S``; zero parts are left out."""
    seconds = int(duration.total_seconds())
    days, seconds = divmod(seconds, 86_400)
    hours, seconds = divmod(seconds, 3_600)
    minutes, seconds = divmod(seconds, 60)
    clock = "".join(f"{n}{unit}" for n, unit in ((hours, "H"), (minutes, "M"), (seconds, "S")) if n)
    date = f"{days}D" if days else ""
    return f"P{date}T{clock}" if clock else f"P{date or 'T0S'}"
