"""The emulator's HTTP face: Data API, thumbnail host, feed, and a look behind the scenes."""

import asyncio
import gzip
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from functools import partial

from pydantic_core import to_json
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from services.clock import Clock, system_clock
from services.emulator.catalog import Catalog
from services.emulator.feeds import channel_feed
from services.emulator.introspection import quota_report, request_report, truth, welcome
from services.emulator.masks import Mask, apply_mask, parse_mask
from services.emulator.methods import METHODS, Method
from services.emulator.pictures import ALWAYS_THERE, Gallery, Picture, placeholder
from services.emulator.problems import ApiError, missing_key, no_such_method, wrong_key
from services.emulator.query import Query
from services.emulator.quota import Ledger, Quotas
from services.emulator.resources import Json, etag

_WORTH_COMPRESSING = 1_000  # bytes; below, gzip costs more than it saves


@dataclass(slots=True)
class World:
    """What every endpoint works on."""

    catalog: Catalog
    clock: Clock
    keys: frozenset[str] | None
    ledger: Ledger
    gallery: Gallery
    latency_s: float
    served: Counter[tuple[str, int]] = field(default_factory=Counter)


def create_app(
    catalog: Catalog,
    *,
    clock: Clock = system_clock,
    keys: frozenset[str] | None = None,
    quotas: Quotas | None = None,
    latency_s: float = 0.0,
) -> Starlette:
    """Return the ASGI application.

    Args:
        catalog: The world to serve.
        clock: Tells the moment of each request; it may move as fast as a test likes.
        keys: API keys that are valid; None accepts any that is not empty.
        quotas: Daily limits; YouTube's when None.
        latency_s: Seconds to wait before each answer, as a network would.
    """
    world = World(
        catalog=catalog,
        clock=clock,
        keys=keys,
        ledger=Ledger(quotas or Quotas()),
        gallery=Gallery(catalog.picture),
        latency_s=latency_s,
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
            Route("/emulator/truth", partial(_truth, world)),
            Route("/emulator/quota", partial(_quota, world)),
            Route("/emulator/requests", partial(_requests, world)),
            Route("/", partial(_welcome, world)),
        ]
    )


_Endpoint = Callable[[Request], Awaitable[Response]]


def _measured(world: World, name: str, answer: _Endpoint) -> _Endpoint:
    """Wrap an endpoint: wait as long as told to, answer, count."""

    async def endpoint(request: Request) -> Response:
        if world.latency_s:
            await asyncio.sleep(world.latency_s)
        response = await answer(request)
        world.served[name, response.status_code] += 1
        return response

    return endpoint


async def _api(world: World, method: Method, request: Request) -> Response:
    """Answer one call: key, quota, then the method; a refusal is an answer too."""
    at = world.clock()
    try:
        query = await Query.read(request)
        if query is None:
            raise no_such_method(f"{request.method} {request.url.path}")
        key = query.one("key") or request.headers.get("x-goog-api-key")
        if not key:
            raise missing_key()
        if world.keys is not None and key not in world.keys:
            raise wrong_key()
        world.ledger.charge(key, method.bucket, at)
        mask: Mask = {}
        fields = query.one("fields")
        if fields is not None:
            mask = parse_mask(fields, method.response)
        body = _envelope(method, method.answer(world.catalog, query, at))
    except ApiError as error:
        return _json(error.body(), request, status=error.status)
    pretty = query.one("prettyPrint") != "false"
    return _json(apply_mask(mask, body), request, tag=f'"{body["etag"]}"', pretty=pretty)


def _envelope(method: Method, answer: Json) -> Json:
    """Put ``kind`` and ``etag`` before the answer."""
    kind = f"youtube#{method.response[0].lower()}{method.response[1:]}"
    return {"kind": kind, "etag": etag(answer)} | answer


async def _unknown_method(request: Request) -> Response:
    return _json(no_such_method(request.url.path).body(), request, status=404)


async def _thumbnail(world: World, request: Request) -> Response:
    """Answer a picture; a missing one is a 404 whose body is the grey placeholder."""
    at = world.clock()
    video = world.catalog.video(request.path_params["video_id"], at)
    size, dot, suffix = request.path_params["file"].partition(".")
    version = None if video is None else world.catalog.thumbnail(video, at)
    sizes = ALWAYS_THERE if video is None else ALWAYS_THERE | video.sizes
    if version is None or size not in sizes or (dot, suffix) != (".", "jpg"):
        return Response(placeholder().data, 404, media_type="image/jpeg")
    return _conditional(request, world.gallery.picture(version.key, size), version.since)


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
    if channel is None or channel.standing != "open":
        return PlainTextResponse("Not Found", 404)
    body = channel_feed(world.catalog, channel, world.clock())
    return Response(body, media_type="text/xml; charset=UTF-8")


async def _truth(world: World, _request: Request) -> Response:
    return _json(truth(world.catalog, world.clock()))


async def _quota(world: World, _request: Request) -> Response:
    return _json(quota_report(world.ledger))


async def _requests(world: World, _request: Request) -> Response:
    return _json(request_report(world.served))


async def _welcome(world: World, request: Request) -> Response:
    return PlainTextResponse(welcome(world.catalog, str(request.base_url)))


def _json(
    body: object,
    request: Request | None = None,
    *,
    status: int = 200,
    tag: str | None = None,
    pretty: bool = True,
) -> Response:
    """Answer JSON as the API does: indented unless told otherwise, gzip to who takes it."""
    headers = {"Vary": "Accept-Encoding"}
    if tag is not None:
        headers["ETag"] = tag
        assert request is not None
        # A reader who has it already has paid for the call all the same.
        if request.headers.get("if-none-match", "").strip('"') == tag.strip('"'):
            return Response(status_code=304, headers=headers)
    content = to_json(body, indent=2 if pretty else None)
    accepted = "" if request is None else request.headers.get("accept-encoding", "")
    if "gzip" in accepted and len(content) > _WORTH_COMPRESSING:
        content = gzip.compress(content, compresslevel=1, mtime=0)
        headers["Content-Encoding"] = "gzip"
    return Response(content, status, headers, media_type="application/json; charset=UTF-8")
