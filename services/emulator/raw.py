"""Answers that a well-behaved server cannot give: written to the connection as they are."""

from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

if TYPE_CHECKING:
    from asyncio import Transport


class RawAnswer(Response):
    """A status line with words of its own, any headers, any body; then the connection ends.

    yt-dlp reports the words of a status line, so a refusal reads as YouTube's own would.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        body: bytes = b"",
        *,
        media_type: str = "text/plain",
        length: int | None = None,
    ) -> None:
        """``length`` is what the answer claims to have; what it has when None."""
        super().__init__(body, status, media_type=media_type)
        self._head = (
            f"HTTP/1.1 {status} {reason}\r\n"
            f"Content-Type: {media_type}\r\n"
            f"Content-Length: {len(body) if length is None else length}\r\n"
            "Connection: close\r\n\r\n"
        ).encode("latin-1", "replace")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Write all of it and hang up."""
        request = Request(scope, receive)
        transport: Transport = request.state.transport
        transport.write(self._head if request.method == "HEAD" else self._head + bytes(self.body))
        transport.close()  # after what is still to be written
        while (await receive())["type"] != "http.disconnect":
            pass
