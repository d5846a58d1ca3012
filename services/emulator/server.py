"""Running the emulator: a socket, a server that says when it listens, a clean end."""

import asyncio
import json
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ml.runtime.files import replaced
from services.errors import UsageError


class _KnowsItsTransport(HttpToolsProtocol):
    """Puts the connection into each request's state, for the faults that break it off."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.app_state = {**self.app_state, "transport": transport}
        super().connection_made(transport)


class ListeningServer(uvicorn.Server):
    """A uvicorn server that calls back once it really answers."""

    def __init__(self, app: Starlette, on_listening: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                log_level="warning",
                access_log=False,
                http=_KnowsItsTransport,
                lifespan="off",
                timeout_keep_alive=30,
                timeout_graceful_shutdown=5,
            )
        )
        self._on_listening = on_listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to listen, then call back."""
        await super().startup(sockets)
        self._on_listening()


def bind(host: str, port: int) -> socket.socket:
    """Return a socket bound to ``host`` and ``port``; port 0 takes a free one.

    Raises:
        UsageError: If the address is not ours or the port is taken.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    except OSError as error:
        raise UsageError(f"{host} is not an address of this machine.") from error
    bound = socket.socket(family, socket.SOCK_STREAM)
    # A port left a moment ago can be taken again; one that is in use cannot.
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        bound.listen(2048)
    except (OSError, OverflowError) as error:
        bound.close()
        why = error.strerror if isinstance(error, OSError) else "ports end at 65535"
        raise UsageError(
            f"Port {port} on {host} cannot be used ({why}). "
            "Choose another with --port, or --port 0 for a free one."
        ) from error
    return bound


def address(bound: socket.socket) -> str:
    """Return the URL of a bound socket."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(
    app: Starlette, bound: socket.socket, *, ready_file: Path | None, announce: Callable[[], None]
) -> None:
    """Serve until SIGINT or SIGTERM, then end cleanly.

    Args:
        app: The application.
        bound: A socket from ``bind``; closed at the end.
        ready_file: Written when the first request can be answered, as ``{"url": …, "pid": …}``;
            removed at the end.
        announce: Called at the same moment.
    """

    def on_listening() -> None:
        if ready_file is not None:
            with replaced(ready_file) as partial:
                ready = {"url": address(bound), "pid": os.getpid()}
                partial.write_text(json.dumps(ready) + "\n", encoding="utf-8")
        announce()

    server = ListeningServer(app, on_listening)
    # uvicorn stops on these signals and raises them again afterwards; the second time they find
    # this handler, so that a stop on request is no failure of the process.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: setattr(server, "should_exit", True))
    try:
        server.run(sockets=[bound])
    finally:
        bound.close()
        if ready_file is not None:
            ready_file.unlink(missing_ok=True)
