"""How the process listens: on which address, for how long it waits, how much it reads."""

import asyncio
import ipaddress
import os
import socket
from pathlib import Path

import h11
import structlog
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from services import tokens
from services.api.guards import LARGEST_HEADERS
from services.context import Context
from services.embedded.processes import READY_FILE
from services.errors import UsageError

HEADERS_S = 10.0
"""How long a client may take to say what it wants; then the connection is closed."""
READER_S = 60.0
"""How long a client may take nothing of an answer; then too."""
MOST_CONNECTIONS = 1_000
_HERE = "127.0.0.1"


def is_loopback(address: str) -> bool:
    """Tell whether nobody but this machine reaches an address.

    Raises:
        UsageError: It is none.
    """
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        raise UsageError(
            f"TUBEGRADER_API_ADDRESS is no IP address: {address}",
            hint="127.0.0.1 is this machine alone, 0.0.0.0 every address that it has",
        ) from None


def require_token(context: Context) -> None:
    """Refuse to be reached from elsewhere while everybody who gets there would be let in.

    Raises:
        UsageError: It listens on another address than this machine's own, and no token is in force.
    """
    settings = context.settings
    if is_loopback(settings.api_address) or settings.api_admin_token is not None:
        return
    if not tokens.any_in_force(context):
        raise UsageError(
            f"nothing is listened for on {settings.api_address} while there is no token",
            reason="tokenNeeded",
            hint="`tubegrader tokens create NAME --scope admin` makes one; or set "
            "TUBEGRADER_API_ADMIN_TOKEN",
        )


def listen(address: str, port: int) -> socket.socket:
    """Return a socket; on this machine's own address one on a free port if that one is taken.

    Raises:
        UsageError: No port is to be had.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    for wanted in (port, 0) if is_loopback(address) else (port,):
        try:
            bound.bind((address, wanted))
        except OSError:
            continue
        bound.listen(2048)
        return bound
    bound.close()
    raise UsageError(f"port {port} of {address} cannot be listened on")


def server(app: ASGIApp, bound: socket.socket) -> uvicorn.Server:
    """Return what serves an application on a socket."""
    config = uvicorn.Config(
        app,
        http=_ImpatientProtocol,
        ws="none",
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        # Whoever asks could say that somebody else does.
        proxy_headers=False,
        h11_max_incomplete_event_size=LARGEST_HEADERS,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_graceful_shutdown=5,
    )
    return _ReadyServer(config, bound)


class _ImpatientProtocol(H11Protocol):
    """Closes a connection whose client does not get to the end of its headers, or takes nothing."""

    _late: asyncio.TimerHandle | None = None
    _untaken: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_headers()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._await_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        self._stop_watching()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._await_headers()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch()

    def resume_writing(self) -> None:
        self._stop_watching()
        super().resume_writing()

    def _await_headers(self) -> None:
        if self.conn.their_state is not h11.IDLE:
            self._stop_waiting()
        # Between two requests the server's own patience counts, until something comes.
        elif self._late is None and self.timeout_keep_alive_task is None:
            self._late = self.loop.call_later(HEADERS_S, self._close)

    def _stop_waiting(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _close(self) -> None:
        self._late = None
        if not self.transport.is_closing():
            structlog.get_logger().warning("api.slow_headers", client=self.client)
            self.transport.abort()

    def _watch(self) -> None:
        left = self.transport.get_write_buffer_size()
        self._untaken = self.loop.call_later(READER_S, self._leave, left)

    def _stop_watching(self) -> None:
        if self._untaken is not None:
            self._untaken.cancel()
            self._untaken = None

    def _leave(self, left: int) -> None:
        if self.transport.get_write_buffer_size() < left:
            self._watch()
            return
        structlog.get_logger().warning(
            "api.slow_reader", client=self.client, path=self.scope["path"]
        )
        # Closed, it would wait for the client to take what is left.
        self.transport.abort()


class _ReadyServer(uvicorn.Server):
    """Says where it listens once it does."""

    def __init__(self, config: uvicorn.Config, bound: socket.socket) -> None:
        super().__init__(config)
        self._url = _url_of(*bound.getsockname()[:2])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        structlog.get_logger().info("api.listening", url=self._url)
        ready = os.environ.get(READY_FILE)
        if ready is not None:
            Path(ready).write_text(self._url)  # noqa: ASYNC240 - once, before anybody asks


def _url_of(address: str, port: int) -> str:
    """Return where this machine reaches what listens on an address."""
    where = ipaddress.ip_address(address)
    if where.is_unspecified:
        return f"http://{_HERE}:{port}"
    return f"http://[{where}]:{port}" if where.version == 6 else f"http://{where}:{port}"  # noqa: PLR2004
