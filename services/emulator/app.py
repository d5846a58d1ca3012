"""The emulator's HTTP face: Data API, thumbnails, feed, sound, and a look behind the scenes."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from functools import partial

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from services.clock import Clock, system_clock
from services.emulator.catalog import Catalog
from services.emulator.control import control_routes
from services.emulator.damage import damaged
from services.emulator.faults import UNBILLED, FaultPlan, Faults
from services.emulator.feeds import channel_feed
from services.emulator.introspection import welcome
from services.emulator.masks import Mask, apply_mask, parse_mask
from services.emulator.methods import METHODS, Method
from services.emulator.odd import AGAIN
from services.emulator.odd_answers import bent_answer, spoiled
from services.emulator.odd_pictures import bent_feed, bent_picture
from services.emulator.pictures import ALWAYS_THERE, Gallery, Picture, placeholder
from services.emulator.problems import (
    ApiError,
    backend_error,
    bad_parameter,
    invalid_token,
    missing_key,
    no_such_method,
    wrong_key,
)
from services.emulator.query import Query
from services.emulator.quota import Ledger, Quotas
from services.emulator.resources import Json, etag
from services.emulator.sound import SpokenSound
from services.emulator.watch import watch_routes
from services.emulator.world import World, json_answer

MEDIA_SECONDS = 20.0
"""Enough for a few windows of speech, quick to make."""


def create_app(
    catalog: Catalog,
    *,
    clock: Clock = system_clock,
    keys: frozenset[str] | None = None,
    quotas: Quotas | None = None,
    latency_s: float = 0.0,
    faults: FaultPlan | None = None,
    media_seconds: float = MEDIA_SECONDS,
) -> Starlette:
    """Return the ASGI application.

    Args:
        catalog: The world to serve.
        clock: Tells the moment of each request; it may move as fast as a test likes. A
            ``WorldClock`` can be turned over HTTP.
        keys: API keys that are valid; None accepts any that is not empty.
        quotas: Daily limits; YouTube's when None.
        latency_s: Seconds to wait before each answer, as a network would.
        faults: What goes wrong from the start; nothing when None.
        media_seconds: How long the sound of a video is at most where a machine speaks it.
    """
    world = World(
        catalog=catalog,
        clock=clock,
        keys=keys,
        ledger=Ledger(quotas or Quotas()),
        gallery=Gallery(catalog.picture),
        latency_s=latency_s,
        faults=Faults(faults or FaultPlan()),
        sound=catalog.sound or SpokenSound(media_seconds),
    )
    endpoint = partial(_measured, world)
    return Starlette(
        routes=[
            *(
                Route(
                    f"/youtube/v3/{path}",
                    endpoint(method.name, partial(_api, world, method)),
                    methods=["GET", "POST"],
                )
                for path, method in METHODS.items()
            ),
            Route(
                "/youtube/v3/{path:path}",
                endpoint("unknown method", _unknown_method),
                methods=["GET", "POST", "PUT", "DELETE"],
            ),
            Route("/vi/{video_id}/{file}", endpoint("thumbnails", partial(_thumbnail, world))),
            Route("/feeds/videos.xml", endpoint("feeds", partial(_feed, world))),
            *watch_routes(world, endpoint),
            *control_routes(world),
            Route("/", partial(_welcome, world)),
        ]
    )


_Endpoint = Callable[[Request], Awaitable[Response]]


def _measured(world: World, name: str, answer: _Endpoint) -> _Endpoint:
    """Wrap an endpoint: wait as long as told to, answer, let a fault strike, count."""

    async def endpoint(request: Request) -> Response:
        strike = world.faults.draw(name, has_token="pageToken=" in request.url.query)
        fault = None if strike is None else strike.kind
        if delay := world.latency_s + (world.faults.plan.latency_s if fault == "latency" else 0):
            await asyncio.sleep(delay)
        request.state.fault = fault
        response = await answer(request)
        if strike is not None:
            response = damaged(response, strike)
        world.served[name, response.status_code] += 1
        return response

    return endpoint


async def _api(world: World, method: Method, request: Request) -> Response:
    """Answer one call: key, quota, then the method; a refusal is an answer too."""
    try:
        query = await Query.read(request)
        if query is None:
            raise no_such_method(f"{request.method} {request.url.path}")
        _charge(world, method, query, request)
        named = _named(query)
        _refuse_broken(world, named)
        mask: Mask = {}
        fields = query.one("fields")
        if fields is not None:
            mask = parse_mask(fields, method.response)
        if query.one("pageToken") == AGAIN:
            query = query.without("pageToken")
        body = _envelope(method, method.answer(world.catalog, query, world.clock()))
    except ApiError as error:
        return json_answer(error.body(), request, status=error.status)
    answer = apply_mask(mask, body)
    if (calls := world.odd.of_calls(named)) is not None:
        return spoiled(calls, answer)
    if world.odd.bend(method.name, answer, named):
        return bent_answer(answer)
    pretty = query.one("prettyPrint") != "false"
    return json_answer(answer, request, tag=f'"{body["etag"]}"', pretty=pretty)


def _charge(world: World, method: Method, query: Query, request: Request) -> None:
    """Book a call on its key, unless it fails before; raise what refuses it."""
    at, fault = world.clock(), request.state.fault
    key = query.one("key") or request.headers.get("x-goog-api-key")
    if not key:
        raise missing_key()
    if world.keys is not None and key not in world.keys:
        raise wrong_key()
    if fault in UNBILLED:
        raise world.ledger.refuse(key, method.bucket, at)
    world.ledger.charge(key, method.bucket, at)
    if fault == "expired_token":
        raise invalid_token()


def _refuse_broken(world: World, named: list[str]) -> None:
    """Refuse a call that names something for which all calls fail."""
    calls = world.odd.of_calls(named)
    if calls == "500" or not set(named).isdisjoint(world.faults.plan.broken):
        raise backend_error()
    if calls == "400":
        raise bad_parameter("id", "Invalid value.")


def _named(query: Query) -> list[str]:
    """Return the ids that a call is about; an uploads playlist is its channel's."""
    return [*query.many("id"), *(f"UC{playlist[2:]}" for playlist in query.many("playlistId"))]


def _envelope(method: Method, answer: Json) -> Json:
    """Put ``kind`` and ``etag`` before the answer."""
    kind = f"youtube#{method.response[0].lower()}{method.response[1:]}"
    return {"kind": kind, "etag": etag(answer)} | answer


async def _unknown_method(request: Request) -> Response:
    return json_answer(no_such_method(request.url.path).body(), request, status=404)


async def _thumbnail(world: World, request: Request) -> Response:
    """Answer a picture; a missing one is a 404 whose body is the grey placeholder."""
    at = world.clock()
    video = world.catalog.video(request.path_params["video_id"], at)
    size, dot, suffix = request.path_params["file"].partition(".")
    version = None if video is None else world.catalog.thumbnail(video, at)
    sizes = ALWAYS_THERE if video is None else ALWAYS_THERE | video.sizes
    if version is None or size not in sizes or (dot, suffix) != (".", "jpg"):
        return Response(placeholder().data, 404, media_type="image/jpeg")
    picture = world.gallery.picture(version.key, size)
    bend = None if video is None else world.odd.at("picture", video.video_id)
    if bend is None:
        return _conditional(request, picture, version.since)
    data = bent_picture(bend.name, picture.data)
    return PlainTextResponse("", 500) if data is None else Response(data, media_type="image/jpeg")


def _conditional(request: Request, picture: Picture, modified: datetime) -> Response:
    """Answer the picture, or 304 to a reader who has it."""
    headers = {
        "ETag": picture.etag,
        "Last-Modified": format_datetime(modified.astimezone(UTC), usegmt=True),
        "Cache-Control": "public, max-age=7200",
    }
    known = request.headers.get("if-none-match")
    if known is not None:
        fresh = known == "*" or picture.etag in {tag.strip() for tag in known.split(",")}
    else:
        fresh = _unmodified_since(request.headers.get("if-modified-since"), modified)
    if fresh:
        return Response(status_code=304, headers=headers)
    return Response(picture.data, headers=headers, media_type="image/jpeg")


def _unmodified_since(header: str | None, modified: datetime) -> bool:
    if header is None:
        return False
    try:
        since = parsedate_to_datetime(header)
    except ValueError:
        return False
    return modified.replace(microsecond=0) <= (since if since.tzinfo else since.replace(tzinfo=UTC))


async def _feed(world: World, request: Request) -> Response:
    channel = world.catalog.channels.get(request.query_params.get("channel_id", ""))
    at = world.clock()
    if channel is None or world.catalog.standing(channel, at) != "open":
        return PlainTextResponse("Not Found", 404)
    body = channel_feed(world.catalog, channel, at)
    if (bend := world.odd.at("feed", channel.channel_id)) is not None:
        body = bent_feed(bend.name, body)
    return Response(body, media_type="text/xml; charset=UTF-8")


async def _welcome(world: World, request: Request) -> Response:
    return PlainTextResponse(welcome(world.catalog, str(request.base_url)))
