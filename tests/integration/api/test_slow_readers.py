"""Readers of long answers who stop, leave, or are still there when the process is told to end."""

import http.client
import signal
import socket
import time
from contextlib import ExitStack, closing
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
from sqlalchemy import text

from services.context import Context
from services.work import jobs
from tests.support.api import api_process
from tests.support.embedded import wait_until

LONG = "/api/v1/export/promotion_history?format=ndjson"
SHORT_PATIENCE = "import services.api.server as server; server.READER_S = 1.0"
EARLY_GIVEN_UP = "import services.exporting as exporting; exporting.PATIENCE_S = 1.0"
FOLLOWERS = 20
ROWS = 40_000


@pytest.fixture
def much(context: Context) -> Context:
    """A view of 80 MB, more than all that lies between the two ends may hold."""
    with context.transaction() as session:
        session.execute(
            text(
                "INSERT INTO promotions (task, decided_at, decision, ground, reason, figures) "
                "SELECT 'thumbnails', now(), 'kept', 'worse', repeat('long ', 400), '{}' "
                "FROM generate_series(1, :n)"
            ),
            {"n": ROWS},
        )
    return context


def reader(url: str, path: str) -> socket.socket:
    """A client that has asked, and has taken the head of the answer."""
    host = urlsplit(url)
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    connection.settimeout(60)
    connection.connect((host.hostname, host.port))
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {host.netloc}\r\n\r\n".encode())
    assert connection.recv(12) == b"HTTP/1.1 200"
    return connection


def transactions(context: Context) -> int:
    """Those open on the database of a context but for this one."""
    with context.engine.connect() as connection:
        return connection.execute(
            text(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                "AND xact_start IS NOT NULL AND pid <> pg_backend_pid()"
            )
        ).scalar_one()


def peers(pid: int) -> int:
    """Connections of clients that the process has; those of the database are on a socket file."""
    ports = {
        each.laddr.port for each in psutil.Process(pid).net_connections() if each.status == "LISTEN"
    }
    return sum(
        each.laddr.port in ports and each.status == "ESTABLISHED"
        for each in psutil.Process(pid).net_connections()
    )


def test_who_stops_reading_an_export_is_cut_off(much: Context, tmp_path: Path) -> None:
    with (
        api_process(much, tmp_path, first=SHORT_PATIENCE) as (url, pid),
        closing(reader(url, LONG)),
    ):
        wait_until(lambda: transactions(much) == 1, "the export's transaction", 30)
        # Although the client still has its end open.
        wait_until(lambda: peers(pid) == 0, "the connection's end", 30)
        wait_until(lambda: transactions(much) == 0, "its end", 30)


def test_who_stops_and_reads_on_sees_that_the_end_is_missing(much: Context, tmp_path: Path) -> None:
    with api_process(much, tmp_path, first=EARLY_GIVEN_UP) as (url, _):
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
        connection.request("GET", LONG)
        answer = connection.getresponse()
        wait_until(lambda: transactions(much) == 1, "the export's transaction", 30)
        wait_until(lambda: transactions(much) == 0, "its end", 30)
        with pytest.raises(http.client.IncompleteRead):
            answer.read()
        connection.close()
        # Its place is free.
        for _ in range(4):
            with closing(reader(url, LONG)):
                pass
            wait_until(lambda: transactions(much) == 0, "its end", 30)


def test_who_leaves_an_export_frees_what_it_held(much: Context, tmp_path: Path) -> None:
    with api_process(much, tmp_path) as (url, pid):
        for _ in range(4):
            readers = [reader(url, LONG) for _ in range(3)]
            for each in readers:
                each.close()
            wait_until(
                lambda: transactions(much) == 0 and peers(pid) == 0, "the connection's end", 30
            )


def test_a_process_with_followers_and_readers_ends_when_told_to(
    much: Context, tmp_path: Path
) -> None:
    job = jobs.submit(much, "train", {})
    with api_process(much, tmp_path) as (url, pid), ExitStack() as stack:
        for _ in range(FOLLOWERS):
            stack.enter_context(closing(reader(url, f"/api/v1/jobs/{job}/events")))
        stack.enter_context(closing(reader(url, LONG)))
        process = psutil.Process(pid)
        process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        wait_until(lambda: process.status() == psutil.STATUS_ZOMBIE, "the api's end", 30)
        assert time.monotonic() - began < 15
