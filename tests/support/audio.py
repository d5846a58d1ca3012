"""Servers that audio is fetched from: one that never stops sending, and a proxy that forwards."""

import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from services.emulator.encoding import ENCODINGS, encode
from services.emulator.voices import SAMPLE_RATE, speak, voice_of
from services.youtube.audio import AudioSource

BLOCK = bytes(65_536)


@cache
def spoken_webm(seconds: float = 2.0) -> bytes:
    """Return a small file of real Opus."""
    speech = speak("a test", voice_of("a", "en"), language="en", seconds=seconds)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.webm"
        encode(speech, SAMPLE_RATE, path, ENCODINGS[0])
        return path.read_bytes()


@dataclass
class Sent:
    """What a server got rid of: bytes by request, in order."""

    bytes_by_request: list[int] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)


class _Quiet(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


@contextmanager
def _serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def endless_server(size: int, *, announced: bool) -> Iterator[tuple[str, Sent]]:
    """Serve ``size`` bytes called audio at any address, announced or not."""
    sent = Sent()

    class Handler(_Quiet):
        def do_GET(self) -> None:
            sent.paths.append(self.path)
            number = len(sent.bytes_by_request)
            sent.bytes_by_request.append(0)
            self.close_connection = True
            self.send_response(200)
            self.send_header("Content-Type", "audio/webm")
            self.send_header("Connection", "close")
            if announced:
                self.send_header("Content-Length", str(size))
            self.end_headers()
            try:
                while sent.bytes_by_request[number] < size:
                    self.wfile.write(BLOCK)
                    sent.bytes_by_request[number] += len(BLOCK)
            except OSError:
                pass

    with _serving(Handler) as url:
        yield url, sent


@contextmanager
def forwarding_proxy() -> Iterator[tuple[str, Sent]]:
    """Run an HTTP proxy that does what it is asked and remembers the addresses."""
    sent = Sent()
    ask = urllib.request.build_opener(urllib.request.ProxyHandler({})).open

    class Handler(_Quiet):
        def do_GET(self) -> None:
            sent.paths.append(self.path)
            with ask(self.path) as reply:
                body = reply.read()
            self.send_response(reply.status)
            self.send_header("Content-Type", reply.headers["Content-Type"])
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with _serving(Handler) as url:
        yield url, sent


EPOCH = datetime(2026, 11, 1, tzinfo=UTC)


def source_of(url: str, **changes) -> AudioSource:
    return AudioSource(
        media_url=url + "/watch?v={video_id}", clock=lambda: EPOCH, timeout_s=10, **changes
    )
