"""Fifty readers of pages and of the HTTP API at once, against a bare SELECT by the same pool."""

import http.client
import statistics
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy import text

from benchmarks import big, place
from benchmarks.measure import Measurement
from services.context import Context
from tests.support.api import api_process

VIDEOS, MANY_VIDEOS = 20_000, 1_000_000
CLIENTS = 50
SECONDS, MANY_SECONDS = 15.0, 60.0
P95_TO_P50 = 10.0
ADDRESSES = (
    "/api/v1/videos",
    "/api/v1/videos?order=underestimated",
    "/api/v1/videos/{video}",
    "/api/v1/channels",
    "/api/v1/channels/{channel}",
    "/api/v1/jobs",
    "/",
    "/videos",
    "/videos?order=overestimated",
    "/videos/{video}",
    "/channels",
    "/channels/{channel}",
    "/jobs",
)


@dataclass
class Heard:
    """What the readers got: seconds by address, and how often which status."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    statuses: Counter[int] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)


def measure(*, full: bool) -> list[Measurement]:
    """Read 20,000 scored videos by 50 clients (a million with ``full``)."""
    n, seconds = (MANY_VIDEOS, MANY_SECONDS) if full else (VIDEOS, SECONDS)
    with place.folder() as folder, place.empty_context(folder, clock=lambda: big.NOW) as context:
        big.fill(context, big.Size(n, swaps=n // 100))
        return ask(context, folder, n, seconds)


def ask(context: Context, folder: Path, n: int, seconds: float) -> list[Measurement]:
    """Ask a filled database for as long."""
    with context.transaction() as session:
        video = session.scalar(text("SELECT min(video_id) FROM videos"))
        channel = session.scalar(text("SELECT min(channel_id) FROM videos"))
    addresses = [each.format(video=video, channel=channel) for each in ADDRESSES]
    bare = _bare(context, seconds / 3)
    heard = Heard()
    with api_process(context, folder) as (url, _):
        host = urlsplit(url).netloc
        _read(host, addresses, heard, time.monotonic() + 2)  # connections and plans are made
        heard = Heard()
        began = time.monotonic()
        with ThreadPoolExecutor(CLIENTS) as pool:
            for turn in range(CLIENTS):
                mine = addresses[turn % len(addresses) :] + addresses[: turn % len(addresses)]
                pool.submit(_read, host, mine, heard, began + seconds)
        took = time.monotonic() - began
    every = sorted(one for found in heard.seconds.values() for one in found)
    p50, p95 = every[len(every) // 2], every[int(len(every) * 0.95)]
    wrong = {status: k for status, k in heard.statuses.items() if status != 200}
    slowest = max(heard.seconds, key=lambda name: statistics.median(heard.seconds[name]))
    of_slowest = statistics.median(heard.seconds[slowest])
    title = f"{CLIENTS} readers of {n:,} scored videos"
    return [
        Measurement(
            f"{title}: p95 to p50",
            f"{1000 * p95:,.0f} ms",
            f"{1000 * p50:,.0f} ms",
            p95 / p50,
            at_most=P95_TO_P50,
        ),
        Measurement(f"{title}: errors", str(wrong or 0), "–", sum(wrong.values()), at_most=0),
        Measurement(
            f"{title}: answers to bare SELECTs",
            f"{len(every) / took:,.0f}/s",
            f"{bare:,.0f}/s",
            len(every) / took / bare,
        ),
        Measurement(
            f"{title}: the slowest, {slowest}",
            f"{1000 * of_slowest:,.0f} ms",
            f"{1000 * p50:,.0f} ms",
            of_slowest / p50,
        ),
    ]


def _read(host: str, addresses: list[str], heard: Heard, until: float) -> None:
    connection = http.client.HTTPConnection(host, timeout=120)
    turn = 0
    while time.monotonic() < until:
        address = addresses[turn % len(addresses)]
        turn += 1
        began = time.perf_counter()
        try:
            connection.request("GET", address, headers={"Accept": "text/html, application/json"})
            answer = connection.getresponse()
            answer.read()
            status = answer.status
        except (OSError, http.client.HTTPException):
            connection.close()
            status = 0
        took = time.perf_counter() - began
        with heard.lock:
            heard.seconds.setdefault(address, []).append(took)
            heard.statuses[status] += 1
    connection.close()


def _bare(context: Context, seconds: float) -> float:
    """Return how many SELECTs of one row a second as many threads do by the pool alone."""
    counts: list[int] = []

    def select() -> None:
        done = 0
        while time.monotonic() < until:
            with context.engine.connect() as connection:
                connection.execute(text("SELECT 1")).one()
            done += 1
        counts.append(done)

    until = time.monotonic() + seconds
    with ThreadPoolExecutor(CLIENTS) as pool:
        for _ in range(CLIENTS):
            pool.submit(select)
    return sum(counts) / seconds
