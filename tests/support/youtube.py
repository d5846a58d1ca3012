"""A scripted HTTP server on 127.0.0.1 and a ledger in memory, for odd and hostile answers."""

import json
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from services.youtube.gateway import YouTubeGateway
from services.youtube.quota import quota_error, reset_at

NOW = datetime(2026, 7, 15, 12, 0, tzinfo=UTC)
RECORDED = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "youtube"


def recorded(path: str) -> bytes:
    """Return a recorded answer; skip the test where the data is not beside the checkout."""
    file = RECORDED / path
    if not file.exists():
        pytest.skip(f"no recorded data: {file}")
    return file.read_bytes()


@dataclass
class Reply:
    """What to answer; ``cut`` sends only that many bytes of the body, then hangs up."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None


HANG_UP = Reply(status=0)
RESET = Reply(status=-1)


@dataclass
class ReceivedRequest:
    """One request as it arrived."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]
    method: str = "GET"
    site: str = ""
    """What a proxy was asked for; empty where it was asked as the server itself."""

    @property
    def ids(self) -> list[str]:
        return self.query["id"].split(",")


class ScriptedServer:
    """Answers each request with what ``respond`` says and remembers it."""

    def __init__(self, respond: Callable[[ReceivedRequest], Reply]) -> None:
        self.respond = respond
        self.requests: list[ReceivedRequest] = []
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                connect = self.command == "CONNECT"
                parts = urlsplit(f"//{self.path}" if connect else self.path)
                query = {k: ",".join(v) for k, v in parse_qs(parts.query).items()}
                asked = ReceivedRequest(
                    parts.path, query, dict(self.headers), self.command, parts.netloc
                )
                owner.requests.append(asked)
                self._send(owner.respond(asked))

            do_POST = do_CONNECT = do_GET  # noqa: N815

            def _send(self, reply: Reply) -> None:
                if reply.status <= 0:
                    self.close_connection = True
                    if reply is RESET:
                        linger = struct.pack("ii", 1, 0)
                        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    return
                self.send_response(reply.status)
                headers = {"Content-Length": str(len(reply.body))} | reply.headers
                for name, value in headers.items():
                    if value:
                        self.send_header(name, value)
                self.end_headers()
                self.wfile.write(reply.body[: reply.cut])
                if reply.cut is not None or not headers["Content-Length"]:
                    self.close_connection = True

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@contextmanager
def scripted_server(respond: Callable[[ReceivedRequest], Reply]) -> Iterator[ScriptedServer]:
    """Run a server that answers as ``respond`` says while the block runs."""
    server = ScriptedServer(respond)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def silent_server() -> Iterator[ScriptedServer]:
    """A server that takes requests and answers none while the block runs."""
    release = threading.Event()

    def respond(_asked: ReceivedRequest) -> Reply:
        release.wait(10)
        return HANG_UP

    with scripted_server(respond) as server:
        yield server
        release.set()


class MemoryLedger:
    """A ledger for one test: what was booked, and which buckets are empty."""

    def __init__(self, **limits: int) -> None:
        self.limits = limits
        self.booked: Counter[str] = Counter()
        self.closed: dict[str, datetime] = {}

    def for_purpose(self, purpose: str) -> "MemoryLedger":
        return self

    def reserve(self, bucket: str, units: int) -> None:
        if bucket in self.closed or self.booked[bucket] + units > self.limits.get(bucket, 10_000):
            raise quota_error(bucket, reset_at(NOW))
        self.booked[bucket] += units

    def exhausted(self, bucket: str, reset_at: datetime) -> None:
        self.closed[bucket] = reset_at


def gateway_to(url: str, ledger: MemoryLedger | None = None, **options: Any) -> YouTubeGateway:
    """Return a gateway that asks ``url`` and never really waits."""
    options = {"timeout_s": 5.0, "wait": lambda seconds: None} | options
    key = options.pop("api_key", "test-key")
    return YouTubeGateway(key, ledger or MemoryLedger(), lambda: NOW, endpoint=url, **options)


def as_json(value: object, **options: Any) -> Reply:
    return Reply(body=json.dumps(value).encode(), **options)


def error_body(reason: str, message: str = "No.", code: int = 403, **more: object) -> bytes:
    """Return an error in the Data API's form."""
    errors = [{"message": message, "domain": "youtube", "reason": reason}]
    return json.dumps(
        {"error": {"code": code, "message": message, "errors": errors, **more}}
    ).encode()
