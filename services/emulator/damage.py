"""Damaged answers: what a struck request gets to see instead of the truth."""

import gzip
import json
import re
import socket
import struct
import zlib
from asyncio import Transport
from collections.abc import Callable
from functools import cache
from io import BytesIO
from typing import Any

from PIL import Image
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import Receive, Scope, Send

from services.emulator.faults import Fault, Strike
from services.emulator.problems import ApiError

_PAGE = (
    "<!DOCTYPE html><html><head><title>Before you continue</title></head>"
    "<body><h1>Before you continue to YouTube</h1></body></html>"
)
_LOGIN_PAGE = "<!DOCTYPE html><html><body><h1>Log in to use this network</h1></body></html>"
_ENTRY = re.compile(r"<entry>.*?</entry>", re.DOTALL)
_OTHER_SHAPES: tuple[object, ...] = ([], {"status": "ok"}, {"items": {"id": 1}}, "later", None)
_GARBAGE: tuple[object, ...] = ("-1", "many", str(2**70), "1e9", 3.5, [], {"low": 1}, "", "１２")


def damaged(response: Response, strike: Strike) -> Response:
    """Return what is seen of ``response``, the true answer, under a fault."""
    make = _DAMAGES.get(strike.kind)
    # The others were taken care of before the answer was made.
    return response if make is None else make(response, strike)


class BrokenOff(Response):
    """A connection reset: at once, or after half of the announced answer."""

    def __init__(self, whole: Response | None = None) -> None:
        # Counted as no HTTP status at all, or as that of the answer which was begun.
        super().__init__(status_code=0 if whole is None else whole.status_code)
        self._whole = whole

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send half, or nothing, and break off."""
        request = Request(scope, receive)
        transport: Transport = request.state.transport
        if self._whole is None:
            _reset(transport)
        else:
            body = bytes(self._whole.body)
            start = {
                "type": "http.response.start",
                "status": self._whole.status_code,
                "headers": self._whole.raw_headers,
            }
            await send(start)
            half = body[: len(body) // 2]
            await send({"type": "http.response.body", "body": half, "more_body": True})
            transport.close()  # after what is still to be written
        while (await receive())["type"] != "http.disconnect":
            pass


def _reset(transport: Transport) -> None:
    """End a connection with RST, as a firewall or a dying server does."""
    at_once = struct.pack("ii", 1, 0)
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
    transport.abort()


def _refusal(status: int, reason: str, message: str) -> Response:
    error = ApiError(status, reason, message, domain="youtube.common")
    return JSONResponse(error.body(), status)


def _too_fast(_response: Response, strike: Strike) -> Response:
    refusal = _refusal(429, "rateLimitExceeded", "Too many requests. Slow down.")
    refusal.headers["Retry-After"] = str(strike.plan.retry_after_s)
    return refusal


def _portal(_response: Response, _strike: Strike) -> Response:
    return HTMLResponse(_LOGIN_PAGE, 302, {"Location": "http://login.portal.invalid/"})


def _for_all(status: int, reason: str) -> Callable[[Response, Strike], Response]:
    """Refuse as the Data API would, whatever was asked and whoever asks."""
    return lambda _response, _strike: _refusal(status, reason, f"Refused ({reason}).")


def _without_entries(response: Response) -> Response:
    """Take all that was asked for out of a good answer; a refusal stays what it is."""
    if response.media_type is not None and "xml" in response.media_type:
        feed = bytes(response.body).decode()
        return Response(_ENTRY.sub("", feed), media_type=response.media_type)

    def empty(body: Any) -> None:
        body["items"] = []
        body.pop("nextPageToken", None)

    return _rewritten(response, empty)


def _rewritten(response: Response, change: Callable[[Any], None]) -> Response:
    """Change the JSON of a good answer; a refusal stays what it is."""
    if response.status_code != 200:  # noqa: PLR2004
        return response
    raw = bytes(response.body)
    body = json.loads(gzip.decompress(raw) if "Content-Encoding" in response.headers else raw)
    change(body)
    return JSONResponse(body)


def _spoil_counts(body: Any, strike: Strike) -> None:
    """Replace every count, ``pageInfo`` included, by something that is none."""
    garbage = strike.one_of(_GARBAGE)
    for item in body.get("items", ()):
        for name in item.get("statistics", {}):
            if name != "hiddenSubscriberCount":
                item["statistics"][name] = garbage
    if "pageInfo" in body:
        body["pageInfo"] = dict.fromkeys(body["pageInfo"], garbage)


def _swap_ids(body: Any) -> None:
    """Give every item an id that nobody asked for, well-formed or not."""
    for number, item in enumerate(body.get("items", ())):
        odd = f"../..{number:06}" if number % 2 else f"Zz{number:09}"
        if "id" in item:
            item["id"] = odd
        if "videoId" in item.get("contentDetails", {}):
            item["contentDetails"]["videoId"] = odd if number % 2 else ""


@cache
def tiny_picture() -> bytes:
    """Return a JPEG of one pixel."""
    encoded = BytesIO()
    Image.new("RGB", (1, 1)).save(encoded, "JPEG")
    return encoded.getvalue()


@cache
def huge_picture() -> bytes:
    """Return a PNG of a few hundred bytes that claims 60,000x60,000 pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        checked = name + data
        return struct.pack(">I", len(data)) + checked + struct.pack(">I", zlib.crc32(checked))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0))
    rows = chunk(b"IDAT", zlib.compress(bytes(100_000), 9))
    return b"\x89PNG\r\n\x1a\n" + header + rows + chunk(b"IEND", b"")


_DAMAGES: dict[Fault, Callable[[Response, Strike], Response]] = {
    "rate_limited": _too_fast,
    "server_error": lambda _response, _strike: _refusal(500, "backendError", "Backend Error"),
    "unavailable": lambda _response, _strike: _refusal(503, "backendError", "Unavailable."),
    "reset": lambda _response, _strike: BrokenOff(),
    "lost": lambda _response, _strike: BrokenOff(),
    "truncated": lambda response, _strike: BrokenOff(response),
    "html": lambda _response, _strike: HTMLResponse(_PAGE),
    "other_json": lambda _response, strike: JSONResponse(strike.one_of(_OTHER_SHAPES)),
    "garbage_counts": lambda response, strike: _rewritten(
        response, lambda body: _spoil_counts(body, strike)
    ),
    "wrong_ids": lambda response, _strike: _rewritten(response, _swap_ids),
    "portal": _portal,
    "nothing": lambda response, _strike: _without_entries(response),
    "not_found": _for_all(404, "notFound"),
    "forbidden": _for_all(403, "forbidden"),
    "bad_request": _for_all(400, "badRequest"),
    "pixel": lambda _response, _strike: Response(tiny_picture(), media_type="image/jpeg"),
    "huge": lambda _response, _strike: Response(huge_picture(), media_type="image/png"),
}
