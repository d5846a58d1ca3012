"""Days of channels collected by real processes that are killed: how many, the environment says.

Workers, dispatchers, PostgreSQL and Redis run as `tubegrader up` runs them; only the clock is the
offline YouTube's. It stands still while there is work and jumps to the next moment at which
something is due. Every now and then a worker is killed, Redis is emptied or PostgreSQL dies.

`make replay` runs a month of 200 channels and 10,000 videos; without `TUBEGRADER_REPLAY_DAYS`,
`_CHANNELS` and `_VIDEOS` in the environment it is two days of a few.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
import redis

from db.session import make_engine
from services import embedded
from services.clock import clock_at
from services.context import Context
from services.crawl import intake
from services.embedded import postgres
from services.embedded.home import Home
from services.emulator.faults import FaultPlan
from services.emulator.living import living_catalog
from services.settings import Settings
from tests.support.audit import World, audit
from tests.support.crawl import KEY, value
from tests.support.embedded import leftovers, recorded, wait_until
from tests.support.emulator import fetch
from tests.support.replay import received

ROOT = Path(__file__).resolve().parents[2]
EPOCH = datetime(2026, 10, 20, 9, 30, tzinfo=UTC)
# Read before the tests are shielded from the settings of whoever runs them.
SIZES = {
    name: int(os.environ.get(f"TUBEGRADER_REPLAY_{name.upper()}", standard))
    for name, standard in {"days": 2, "channels": 6, "videos": 120}.items()
}
LEASE = timedelta(minutes=2)
SHORTEST_STEP = timedelta(minutes=10)
STUCK_S = 6.0
"""Real seconds without an end of the work under way: its message or its worker is lost."""
SHARE, SEED = 0.2, 5
DISASTERS_A_DAY = 2.0
PATIENCE = timedelta(hours=12)


@contextmanager
def offline_youtube(ready: Path) -> Iterator[str]:
    """A process of its own that lives in its own time."""
    options = {
        "--epoch": EPOCH.isoformat(),
        "--clock": "manual",
        "--seed": SEED,
        "--days": SIZES["days"],
        "--channels": SIZES["channels"],
        "--videos": SIZES["videos"],
        "--port": 0,
        "--ready-file": ready,
    }
    argv = [str(word) for option in options.items() for word in option]
    process = subprocess.Popen(
        [sys.executable, "-m", "services.emulator", *argv], cwd=ROOT, stdout=subprocess.DEVNULL
    )
    try:
        wait_until(ready.exists, "the offline YouTube", 300)
        yield json.loads(ready.read_text(encoding="utf-8"))["url"]
    finally:
        process.terminate()
        process.wait(30)


class Month:
    """The driver: turns the clock, and breaks things."""

    def __init__(self, context: Context, home: Path, url: str) -> None:
        self.context, self.home, self.url = context, home, url
        self.chance = random.Random(SEED)
        self.disasters: Counter[str] = Counter()
        self.longest_jump = timedelta(0)

    def run(self, end: datetime) -> None:
        next_disaster, day = EPOCH, None
        while (now := self.context.clock()) < end:
            if now.date() != day:
                day = now.date()
                print(f"{day} {self.count('video_snapshots')} snapshots, {dict(self.disasters)}")
            if now >= next_disaster:
                self.disaster()
                gap = self.chance.expovariate(DISASTERS_A_DAY)
                next_disaster = now + timedelta(days=gap)
            self.settle(now)
            self.turn(now, end)

    def settle(self, now: datetime) -> None:
        """Wait until nothing is due or under way, or nothing moves any more."""
        moved_at, last = time.monotonic(), -1
        while (left := self.unfinished(now)) > 0 and time.monotonic() - moved_at < STUCK_S:
            if left != last:
                moved_at, last = time.monotonic(), left
            time.sleep(0.1)

    def unfinished(self, now: datetime) -> int:
        query = "SELECT count(*) FROM work_items WHERE state = 'leased' OR ready_at <= :now"
        return int(self.ask(query, now=now))

    def turn(self, now: datetime, end: datetime) -> None:
        query = "SELECT min(ready_at) FROM work_items WHERE ready_at > :now"
        ready = self.ask(query, now=now) or end
        to = min(max(ready, now + SHORTEST_STEP), end)
        if self.unfinished(now):
            to = min(now + LEASE + SHORTEST_STEP, end)  # what is stuck has to expire
            # Only then may an answer be older than the clock says when it is looked at.
            self.longest_jump = max(self.longest_jump, to - now)
        data = json.dumps({"now": to.isoformat()}).encode()
        assert fetch(f"{self.url}/emulator/clock", data=data).status == 200

    def disaster(self) -> None:
        kind = self.chance.choice(["worker killed", "Redis wiped", "PostgreSQL killed"])
        self.disasters[kind] += 1
        if kind == "Redis wiped":
            redis.Redis.from_url(str(self.context.settings.redis_url)).flushall()
        elif kind == "PostgreSQL killed":
            recorded(self.home, "postgres").signal(signal.SIGKILL)
        else:
            workers = [p for p in psutil.process_iter() if self.is_worker(p)]
            self.chance.choice(sorted(workers, key=lambda p: p.pid)).kill()

    def is_worker(self, process: psutil.Process) -> bool:
        try:
            marked = process.environ().get("TUBEGRADER_SUPERVISED", "")
            return marked.startswith(f"{self.home}/") and "worker" in process.cmdline()
        except psutil.Error:
            return False

    def count(self, table: str) -> int:
        return int(self.ask(f"SELECT count(*) FROM {table}"))

    def ask(self, query: str, **values: object) -> object:
        """Ask the database, however often it is away."""
        deadline = time.monotonic() + 120
        while True:
            try:
                return value(self.context, query, **values)
            except Exception:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
                server = postgres.running(Home(self.home))
                if server is not None:  # one that was started again may listen elsewhere
                    self.context.engine.dispose()
                    self.context.__dict__["engine"] = make_engine(server.url)


@pytest.mark.slow
@pytest.mark.timeout(3 * 3600)
def test_a_month_of_disasters_is_collected_as_it_was(tmp_path: Path):
    home, end = tmp_path / "home", EPOCH + timedelta(days=SIZES["days"])
    with offline_youtube(tmp_path / "ready.json") as url:
        settings = Settings(
            home=home,
            youtube_endpoint=url,
            thumbnail_url=url,
            feed_url=url,
            clock_url=url,
            youtube_api_key=KEY,
            lease_seconds=LEASE.total_seconds(),
        )
        with embedded.stack(settings, workers=True, durable=True) as endpoints:
            context = Context(endpoints.applied_to(settings), clock_at(url))
            catalog = living_catalog(seed=SEED, epoch=EPOCH, **SIZES)
            intake.add_all(context, list(catalog.channels))
            plan = FaultPlan(share=SHARE, seed=SEED).model_dump_json().encode()
            assert fetch(f"{url}/emulator/faults", data=plan).status == 200
            month = Month(context, home, url)
            month.run(end)
            assert fetch(f"{url}/emulator/faults", data=b'{"share": 0}').status == 200
            month.settle(end)
            # Whoever was killed after booking a call and before sending it left a unit behind.
            inexact = month.longest_jump + LEASE
            found = audit(
                context.engine,
                World(catalog, end, PATIENCE, inexact),
                received(url),
                spare=2 * sum(month.disasters.values()),
            )
            context.close()
    print(found.checked, dict(month.disasters), "skipped", found.skipped, "late", found.late[:3])
    print("given up though shown again:", len(found.forgotten), "jump", month.longest_jump)
    for check, findings in found.findings.items():
        print(check, len(findings), *findings[:20], sep="\n  ")
    assert found.findings == {}
    assert len(month.disasters) == 3 or SIZES["days"] < 20
    assert leftovers(home) == []
