"""What strangers try: endless, slow and oversized requests, odd paths, markup where text belongs.

Against a process as it is started, by sockets: no client of ours would send any of it.
"""

import gzip
import io
import multiprocessing
import socket
import struct
import time
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit
from zlib import crc32

import psutil
import pytest
from fastapi.testclient import TestClient

from services import tokens
from services.api.guards import LARGEST_HEADERS, LARGEST_TEXT
from services.context import Context
from tests.support.api import api_process

HURRIED = """
import services.api.guards as guards, services.api.server as server
guards.BODY_S, server.HEADERS_S = 1.0, 1.0
"""
EVIL = "<script>alert(1)</script>"
MOST_GROWTH = 100_000_000
"""Bytes: three bodies of the largest that is taken."""


class Door:
    """A running api."""

    def __init__(self, url: str, pid: int) -> None:
        self.host = urlsplit(url).netloc
        self.process = psutil.Process(pid)

    def connect(self) -> socket.socket:
        name, _, port = self.host.partition(":")
        return socket.create_connection((name, int(port)), timeout=60)

    def head(self, method: str, path: str, *headers: str) -> bytes:
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.host}", *headers, "", ""]
        return "\r\n".join(lines).encode("latin-1")

    def asked(self, method: str, path: str, *headers: str) -> str:
        with self.connect() as connection:
            connection.sendall(self.head(method, path, "Connection: close", *headers))
            return answered(connection)


def answered(connection: socket.socket) -> str:
    """Whatever comes until the other side is done."""
    found = b""
    try:
        while piece := connection.recv(65_536):
            found += piece
    except ConnectionError:
        pass
    return found.decode("latin-1")


@pytest.fixture
def door(context: Context, tmp_path: Path) -> Iterator[Door]:
    with api_process(context, tmp_path, first=HURRIED) as (url, pid):
        yield Door(url, pid)


def test_the_process_withstands_what_is_endless_slow_and_large(door: Door) -> None:
    door.asked("GET", "/api/v1/videos")
    before = door.process.memory_info().rss

    # A gigabyte that says so is refused before any of it is read.
    with door.connect() as connection:
        connection.sendall(door.head("POST", "/api/v1/grades", f"Content-Length: {1 << 30}"))
        assert answered(connection).startswith("HTTP/1.1 413")

    # One that says nothing of its length is, once it is too large.
    with door.connect() as connection:
        chunked = ("Transfer-Encoding: chunked", "Content-Type: application/json")
        connection.sendall(door.head("POST", "/api/v1/jobs", *chunked))
        piece = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
        sent = 0
        try:
            while sent < 1 << 30:
                connection.sendall(piece)
                sent += 0x100000
        except OSError:
            pass
        # And what the system holds on the way.
        assert sent < LARGEST_TEXT + 15_000_000
    assert door.process.memory_info().rss - before < MOST_GROWTH

    # Who does not come to the end of a head or a body is not waited for.
    for begun, expected in (
        (b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ", ""),
        (b"", ""),
        (door.head("POST", "/api/v1/jobs", "Content-Length: 10") + b"{", "HTTP/1.1 408"),
    ):
        with door.connect() as connection:
            connection.sendall(begun)
            since = time.monotonic()
            assert answered(connection).startswith(expected)
            assert time.monotonic() - since < 30

    # A head is bounded, in one line or in many.
    for headers in (
        ["X: " + "a" * 2 * LARGEST_HEADERS],
        [f"X-{n}: {'a' * 900}" for n in range(99)],
    ):
        assert door.asked("GET", "/", *headers)[:12] in ("HTTP/1.1 431", "HTTP/1.1 400", "")

    for odd in (
        "/static/../../../../etc/passwd",
        "/static/..%2f..%2f..%2fetc%2fpasswd",
        "/static/%2e%2e/__main__.py",
        "/static/..%5c..%5capp.py",
        "/api/v1/thumbnails/../../etc/passwd",
        "/api/v1/thumbnails/" + "%2e%2e%2f" * 4 + "etc/passwd",
        "/api/v1/export/pg_authid",
        "/api/v1/export/scored_videos;DROP",
        "/api/v1/jobs/%00",
        "//evil.example/",
        "/sign-in/",
        "http://evil.example/",
        "*",
        "/%ff%fe",
    ):
        status = door.asked("GET", odd)[9:12]
        assert status in ("307", "400", "404", "422"), (odd, status)
    assert door.asked("BREW", "/").startswith("HTTP/1.1 405")
    assert door.asked("GET", "/", "Content-Length: x")[:12] in ("HTTP/1.1 400", "HTTP/1.1 413")
    smuggled = ("Content-Length: 3", "Transfer-Encoding: chunked")
    assert door.asked("POST", "/api/v1/jobs", *smuggled)[:10] in ("HTTP/1.1 4", "")
    assert door.asked("GET", "/healthz").endswith('{"status":"alive"}')


def test_markup_in_a_link_or_a_name_stays_text(context: Context, client: TestClient) -> None:
    html = {"Accept": "text/html", "Origin": "http://127.0.0.1:8765"}
    for address in (
        f'/sign-in?next=/"><{EVIL}',
        f"/videos?title={EVIL}",
        f"/channels?tag={EVIL}",
        f"/ask?q={EVIL}",
        f"/jobs/{EVIL}",
        f"/channels/{EVIL}",
        f"/models/{EVIL}",
        f"/{EVIL}",
    ):
        answer = client.get(address, headers=html)
        assert EVIL not in answer.text, address
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'self'" in answer.headers["content-security-policy"]
    plan = {"name": "x", "kind": "crawl", "when": EVIL}
    assert EVIL not in client.post("/schedules", data=plan, headers=html).text
    token = tokens.create(context, EVIL, scope="operate")
    client.post("/sign-in", data={"token": token}, headers=html)
    assert client.get("/", headers=html).status_code == 200
    for address in ("/", "/models", "/jobs"):
        assert EVIL not in client.get(address, headers=html).text
    refused = client.post("/models/champion/promote", data={"why": "x"}, headers=html)
    assert refused.status_code == 403
    assert EVIL not in refused.text


def test_only_files_are_large_and_nothing_misspelt_is_passed_over(client: TestClient) -> None:
    large = b'{"query": "SELECT 1", "x": [' + b"1," * LARGEST_TEXT + b"1]}"
    typed = {"Content-Type": "application/json"}
    for path in ("/api/v1/sql", "/api/v1/jobs", "/api/v1/grades", "/sign-in"):
        refused = client.post(path, content=large, headers=typed)
        assert (refused.status_code, refused.json()["reason"]) == (413, "bodyTooLarge"), path
    files = {"files": ("a.jpg", bytes(2 * LARGEST_TEXT))}
    assert client.post("/api/v1/jobs", files=files).status_code == 413
    # Taken and looked at: it has no part of the name that is wanted.
    assert client.post("/api/v1/grades", files=files).status_code == 422
    for path, body in (
        ("jobs", {"kind": "train", "dry_run": True}),
        ("failed-jobs/retry", {"reasons": "x"}),
        ("sql", {"query": "SELECT 1", "limit": 1}),
        ("models/champion/promote", {"why": "x", "dryrun": True}),
    ):
        assert client.post(f"/api/v1/{path}", json=body).status_code == 422, path


def png(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = [(b"IHDR", head), *chunks, (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc32(kind + content))
        for kind, content in parts
    )


@pytest.mark.slow
def test_bombs_in_place_of_pictures_are_refused_and_the_next_is_looked_at(
    client: TestClient,
) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.jpg", bytes(200_000_000))
    pixels = zlib.compress(bytes(100_000_000), 9)
    text = b"Comment\0\0" + zlib.compress(bytes(200_000_000), 9)
    for content, reasons in (
        (png(60_000, 60_000, (b"IDAT", pixels)), {"imageTooLarge"}),
        (packed.getvalue(), {"notAnImage"}),
        (png(320, 180, (b"zTXt", text), (b"IDAT", zlib.compress(bytes(181 * 320)))), None),
        (gzip.compress(bytes(100_000_000)), {"notAnImage"}),
        (b"no picture", {"notAnImage"}),
    ):
        since = time.monotonic()
        answer = client.post("/api/v1/grades", files={"pictures": ("a.png", content)})
        assert answer.status_code in (400, 404, 409), answer.text
        assert reasons is None or answer.json()["reason"] in reasons
        assert time.monotonic() - since < 200
    [worker] = multiprocessing.active_children()
    assert psutil.Process(worker.pid).memory_info().rss < 1_500_000_000
    client.app.state.grader.close()  # type: ignore[attr-defined]
