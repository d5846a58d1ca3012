"""HEAD, and answers that whoever asks has already: ``ETag`` and 304."""

import hashlib
from typing import Any, Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HASHED: Final = ("application/json", "text/css", "text/javascript", "image/svg+xml")
"""Media types of answers that get an ETag of their content."""


class Conditional:
    """Answers HEAD as GET without the content, and 304 where nothing has changed."""

    def __init__(self, app: ASGIApp) -> None:
        """Stand before ``app``."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        answered = _Answer(scope, receive, send)
        await self._app({**scope, "method": "GET"}, answered.receive, answered.send)


class _Answer:
    """One answer on its way out."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._is_head = scope["method"] == "HEAD"
        self._known = Headers(scope=scope).get("if-none-match")
        self._receive = receive
        self._send = send
        self._start: Message | None = None
        self._is_over = False

    async def receive(self) -> Message:
        """Have what would go on for ever end where its beginning is all that is wanted."""
        if self._is_over:
            return {"type": "http.disconnect"}
        return await self._receive()

    async def send(self, message: Message) -> None:
        """Hold the beginning until the first of the content tells what it is."""
        if self._is_over:
            return
        if message["type"] == "http.response.start":
            self._start = message
            return
        if self._start is not None:
            start, self._start = self._start, None
            whole = not message.get("more_body", False)
            unchanged = start["status"] == 200 and self._is_known(  # noqa: PLR2004
                start, message.get("body", b"") if whole else None
            )
            if unchanged:
                start = _not_modified(start)
            await self._send(start)
            if unchanged or self._is_head:
                self._is_over = True
                await self._send({"type": "http.response.body", "body": b""})
                return
        await self._send(message)

    def _is_known(self, start: Message, body: bytes | None) -> bool:
        headers = MutableHeaders(scope=start)
        etag = headers.get("etag")
        if etag is None and body is not None and _is_hashed(headers):
            etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
            headers["ETag"] = etag
        if etag is None or self._known is None:
            return False
        known = {each.strip().removeprefix("W/") for each in self._known.split(",")}
        return "*" in known or etag.removeprefix("W/") in known


def _is_hashed(headers: Any) -> bool:
    return headers.get("content-type", "").partition(";")[0] in _HASHED


def _not_modified(start: Message) -> Message:
    kept = [
        (name, value)
        for name, value in start["headers"]
        if name.lower() not in (b"content-length", b"content-type")
    ]
    return {**start, "status": 304, "headers": kept}
