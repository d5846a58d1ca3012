"""A video's page, its manifest and its sound, as yt-dlp's generic extractor reads them.

Refusals are worded as YouTube words them, in the status line, which yt-dlp repeats.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from functools import lru_cache, partial
from pathlib import Path
from xml.sax.saxutils import quoteattr

from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import Route

from ml.runtime.files import file_sha256
from services.emulator.encoding import silence
from services.emulator.faults import Fault
from services.emulator.raw import RawAnswer
from services.emulator.resources import broadcast_state, iso_duration, timestamp
from services.emulator.sound import SoundFormat
from services.emulator.videos import Video
from services.emulator.world import World

_Answer = Callable[[World, Request], Awaitable[Response]]
_Endpoint = Callable[[Request], Awaitable[Response]]

_REFUSALS: dict[Fault, tuple[int, str]] = {
    "bot_check": (403, "Sign in to confirm you're not a bot"),
    "geo_blocked": (403, "The uploader has not made this video available in your country"),
    "age_gated": (
        403,
        "Sign in to confirm your age. This video may be inappropriate for some users.",
    ),
    "members_only": (
        403,
        "Join this channel to get access to members-only content like this video",
    ),
    "private_video": (403, "Private video. Sign in if you've been granted access to this video"),
    "removed_video": (404, "Video unavailable. This video has been removed by the uploader"),
    "upcoming": (403, "This live event will begin in 3 hours."),
}
_HIDDEN = {
    "private": _REFUSALS["private_video"],
    "deleted": _REFUSALS["removed_video"],
    "channel ended": (
        404,
        (
            "Video unavailable. This video is no longer available because the YouTube account "
            "associated with this video has been terminated."
        ),
    ),
}


def watch_routes(world: World, measured: Callable[[str, _Endpoint], _Endpoint]) -> list[Route]:
    """Return the routes; ``measured`` wraps each, as it does the other endpoints."""

    def endpoint(name: str, answer: _Answer) -> _Endpoint:
        return measured(name, partial(answer, world))

    return [
        Route("/watch", endpoint("watch", _page)),
        Route("/manifest/{video_id}.mpd", endpoint("manifests", _manifest)),
        Route("/media/{video_id}/{file}", endpoint("media", _media)),
    ]


async def _page(world: World, request: Request) -> Response:
    at, fault = world.clock(), request.state.fault
    if fault in _REFUSALS:
        return RawAnswer(*_REFUSALS[fault])
    video_id = request.query_params.get("v", "")
    video = world.catalog.videos.get(video_id)
    refusal = _refusal(world, video, at)
    if video is None or refusal is not None:
        return RawAnswer(*(refusal or (404, "Video unavailable. This video does not exist")))
    shown = {"on_air": "?as=live", "no_audio": "?as=silent"}.get(fault or "", "")
    described = {
        "@context": "https://schema.org",
        "@type": "VideoObject",
        "name": video.title,
        "description": video.description,
        "uploadDate": timestamp(video.published_at),
        "duration": iso_duration(timedelta(seconds=max(1, round(world.sound.seconds(video))))),
        "contentUrl": f"{_base(request)}/manifest/{video_id}.mpd{shown}",
    }
    # No title may end the script it stands in.
    script = json.dumps(described).replace("<", "\\u003c")
    return HTMLResponse(
        "<!DOCTYPE html><html><head><title>Offline YouTube</title>"
        f'<script type="application/ld+json">{script}</script></head><body></body></html>'
    )


def _refusal(world: World, video: Video | None, at: datetime) -> tuple[int, str] | None:
    """Return why a video cannot be watched; None where it can."""
    if video is None or world.catalog.visibility(video, at) == "coming":
        return 404, "Video unavailable. This video does not exist"
    visibility = world.catalog.visibility(video, at)
    if visibility != "public":
        return _HIDDEN[visibility]
    stream = video.stream
    if stream is not None and broadcast_state(video, at) == "upcoming":
        minutes = max(1, round((stream.scheduled_start - at) / timedelta(minutes=1)))
        begins = f"in {minutes} minute{'s' if minutes > 1 else ''}"
        if stream.premiere:
            return 403, f"Premieres {begins}"
        return 403, f"This live event will begin {begins}."
    return None


async def _manifest(world: World, request: Request) -> Response:
    at = world.clock()
    video = world.catalog.video(request.path_params["video_id"], at)
    if video is None:
        return Response("Not Found", 404)
    shown = request.query_params.get("as")
    live = shown == "live" or broadcast_state(video, at) == "live"
    kind = "dynamic" if live else "static"
    content = _silent_set() if shown == "silent" else _sound_sets(world, video, _base(request))
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f'<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="{kind}" '
        'profiles="urn:mpeg:dash:profile:isoff-on-demand:2011" minBufferTime="PT2S">'
        f"<Period>{content}</Period></MPD>"
    )
    return Response(body, media_type="application/dash+xml")


def _sound_sets(world: World, video: Video, base: str) -> str:
    """Return the formats, with the language that the uploader chose, right or wrong."""
    language = "" if video.language is None else f" lang={quoteattr(video.language)}"
    return "".join(
        f'<AdaptationSet contentType="audio" mimeType={quoteattr(one.media_type)}{language}>'
        f"<Representation id={quoteattr(one.format_id)} codecs={quoteattr(one.codecs)} "
        f'bandwidth="{round(one.kbps * 1000)}">'
        f"<BaseURL>{base}/media/{video.video_id}/{one.format_id}.{one.suffix}</BaseURL>"
        "</Representation></AdaptationSet>"
        for one in world.sound.formats(video)
    )


def _silent_set() -> str:
    return (
        '<AdaptationSet contentType="video" mimeType="video/mp4">'
        '<Representation id="160" codecs="avc1.4d400c" bandwidth="100000" width="256" height="144">'
        "<BaseURL>/media/none</BaseURL></Representation></AdaptationSet>"
    )


async def _media(world: World, request: Request) -> Response:
    at, fault = world.clock(), request.state.fault
    video = world.catalog.video(request.path_params["video_id"], at)
    offered = None if video is None else _offered(world, video, request.path_params["file"])
    if video is None or offered is None:
        return Response("Not Found", 404)
    if fault == "empty":
        return Response(b"", media_type=offered.media_type)
    path = await asyncio.to_thread(world.sound.file, video, offered)
    match fault:
        case "zero_seconds":
            return Response(silence(), media_type="audio/webm")
        case "lying_length":
            body = path.read_bytes()
            claimed = 2 * len(body)
            return RawAnswer(200, "OK", body, media_type=offered.media_type, length=claimed)
        case "no_range" | "truncated":
            # In one piece, which the damage cuts; a range is not looked at.
            return Response(path.read_bytes(), media_type=offered.media_type)
    tag = _tag(path, path.stat().st_mtime_ns)
    return FileResponse(path, media_type=offered.media_type, headers={"ETag": tag})


def _offered(world: World, video: Video, file: str) -> SoundFormat | None:
    named = (one for one in world.sound.formats(video) if file == f"{one.format_id}.{one.suffix}")
    return next(named, None)


@lru_cache(4_096)
def _tag(path: Path, _changed: int) -> str:
    return f'"{file_sha256(path)[:20]}"'


def _base(request: Request) -> str:
    return str(request.base_url).rstrip("/")
