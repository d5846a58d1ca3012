"""What stands before every route: which names we answer to, from where one may change things.

A page of somebody else in the same browser can send requests to this address, and a name of
theirs can be made to lead here. So a request is answered under a known name only, and one that
changes something comes from our own pages or from a program, which says no origin.
"""

from collections.abc import Collection
from urllib.parse import urlsplit

import anyio
import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.api.problems import SECURITY_HEADERS, Problem, answer, problem
from services.api.sessions import keep_own_cookie

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
LARGEST_BODY = 32 * 1024 * 1024
"""Of a request that sends files: some thumbnails, or a recording."""
LARGEST_TEXT = 1024 * 1024
"""Of any other: a form, or JSON, which is read at one go while everybody waits."""
_FILES = frozenset({"/api/v1/grades", "/grade", "/speech"})
LARGEST_HEADERS = 32 * 1024
BODY_S = 20.0
"""How long a body may take, and longer by what has come of it:"""
SLOWEST_BYTES_S = 100_000

log = structlog.get_logger()


class Guards:
    """Refuses what comes under another name, from another site, or is too large."""

    def __init__(self, app: ASGIApp, *, names: Collection[str] = LOOPBACK) -> None:
        """Stand before ``app``; answer under these names of ours."""
        self._app = app
        self._names = frozenset(names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        keep_own_cookie(scope)
        refusal = self._refusal(scope, Headers(scope=scope))
        if refusal is not None:
            log.warning("api.refused", path=scope["path"], reason=refusal.reason)
            # What comes yet is not read.
            response = answer(Request(scope), refusal, {"Connection": "close"})
            await response(scope, receive, _with_headers(send))
            return
        exchange = _Exchange(scope, receive, _with_headers(send))
        await self._app(scope, exchange.receive, exchange.send)

    def _refusal(self, scope: Scope, headers: Headers) -> Problem | None:
        method, path = scope["method"], scope["path"]
        asked = path + scope["query_string"].decode("latin-1")
        host = _name_in(f"//{headers.get('host', '')}")
        if host not in self._names:
            return problem(
                421,
                f"this server does not answer to the name {host!r}",
                "hostUnknown",
                hint=f"ask {' or '.join(sorted(self._names))}",
            )
        if sum(len(name) + len(value) for name, value in scope["headers"]) > LARGEST_HEADERS:
            return problem(431, "the headers are too large", "headersTooLarge")
        if "\0" in asked or "%00" in asked:
            return problem(400, "a NUL byte is part of no name or text here", "nulByte")
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > _largest(scope):
            return _too_large(_largest(scope))
        site = headers.get("sec-fetch-site", "none")
        if site in ("same-origin", "none"):
            if method in SAFE or headers.get("origin") is None or _is_own_origin(headers):
                return None
        # A link to a page may be anywhere; but nobody else's page asks the database.
        elif (
            method in SAFE
            and headers.get("sec-fetch-mode") == "navigate"
            and (path != "/ask" or asked == path)
        ):
            return None
        return problem(403, "the request comes from another site's page", "foreignOrigin")


def is_from_own_page(headers: Headers) -> bool:
    """Tell whether a browser says that a page of ours sends this; one that says nothing does not.

    For what is let in by a cookie, which a browser sends by itself.
    """
    return headers.get("sec-fetch-site") == "same-origin" or _is_own_origin(headers)


def _is_own_origin(headers: Headers) -> bool:
    origin = headers.get("origin")
    return origin is not None and _address(origin) == headers.get("host")


class _Exchange:
    """One request and its answer: how much is read of whoever sends, how long it is waited for.

    A body that says no length ends where the limit is, and one that does not come on when its
    time is over; both are answered as that, whatever the route makes of half a body.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._largest = _largest(scope)
        self._seen = 0
        self._is_read = False
        self._until = anyio.current_time() + BODY_S
        self._refusal: Problem | None = None
        self._has_begun = False

    async def receive(self) -> Message:
        """Return more of the body."""
        if self._is_read:
            return await self._receive()  # whether they are still there, however long
        # So much time for all of it, and more where it comes at a pace.
        until = self._until + self._seen / SLOWEST_BYTES_S
        with anyio.move_on_at(until):
            message = await self._receive()
            self._seen += len(message.get("body", b""))
            self._is_read = not message.get("more_body", False)
            if self._seen <= self._largest:
                return message
        self._refusal = (
            _too_large(self._largest)
            if self._seen > self._largest
            else problem(408, "the request did not come to its end in time", "tooSlow")
        )
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Send the answer on, or instead of it why the body was not read."""
        if self._refusal is not None and not self._has_begun:
            self._has_begun = True
            refused = answer(Request(self._scope), self._refusal, {"Connection": "close"})
            await refused(self._scope, self._receive, self._send)
            return
        if self._refusal is not None:
            return
        self._has_begun = True
        await self._send(message)


def _largest(scope: Scope) -> int:
    """Return how much of a body is taken: files are kept on the disk while they come."""
    kind = Headers(scope=scope).get("content-type", "").lower()
    sends_files = scope["path"] in _FILES and kind.startswith("multipart/form-data")
    return LARGEST_BODY if sends_files else LARGEST_TEXT


def _too_large(largest: int) -> Problem:
    return problem(413, f"more than {largest >> 20} MB are not taken here", "bodyTooLarge")


def _name_in(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _address(origin: str) -> str | None:
    """Return host and port of an origin, None of one that has none or is malformed."""
    try:
        return urlsplit(origin).netloc or None
    except ValueError:
        return None


def _with_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in SECURITY_HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("Cache-Control", "no-cache")
        await send(message)

    return send_with_headers
