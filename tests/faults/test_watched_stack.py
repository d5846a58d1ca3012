"""Real processes, read as Prometheus reads them; and planted secrets, looked for everywhere."""

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import psutil
import pytest
from sqlalchemy import text

from services import embedded
from services.context import Context
from services.crawl import intake, runs
from services.embedded.home import Home
from services.embedded.workers import API, api_url, metrics_ports
from services.emulator.synthetic import synthetic_catalog
from services.queue import CRAWL, DISPATCHER, Task
from services.settings import Settings
from services.work import jobs
from tests.support.embedded import home, made_home, supervised, wait_until
from tests.support.emulator import RunningEmulator, fetch, running_emulator
from tests.support.prometheus import Series, Timeline, scrape

__all__ = ["home", "made_home"]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.xdist_group("stacks")]

PLANTED = "plantedSecret0123456789abcdefghijklmnop"
N_VIDEOS = 60


@dataclass
class Stack:
    home: Path
    settings: Settings
    context: Context
    emulator: RunningEmulator

    def scrape(self, *names: str) -> Series:
        """Ask each process, or these."""
        found: Series = {}
        for name, port in metrics_ports(self.settings).items():
            if not names or name in names:
                job = "tubegrader-api" if name == API else "tubegrader"
                found |= scrape(port, job=job, timeout_s=3)
        return found

    def firing(self, **for_: float) -> set[str]:
        timeline = Timeline()
        timeline.stays(self.scrape(), timedelta(**for_))
        return timeline.firing()

    def process(self, name: str) -> psutil.Process:
        found = supervised(self.home, name)
        assert found is not None
        return psutil.Process(found.pid)


def free_ports(n: int) -> int:
    """The first of some free ports in a row."""
    for first in range(21_000, 29_000, n):
        with ExitStack() as bound, suppress(OSError):
            for port in range(first, first + n):
                bound.enter_context(socket.create_server(("127.0.0.1", port)))
            return first
    raise AssertionError("no free ports")


@pytest.fixture
def stack(home: Path) -> Iterator[Stack]:
    catalog = synthetic_catalog(seed=9, epoch=datetime.now(UTC), channels=6, videos=N_VIDEOS)
    with running_emulator(catalog) as emulator:
        settings = Settings(
            home=home,
            youtube_endpoint=emulator.url,
            thumbnail_url=emulator.url,
            feed_url=emulator.url,
            youtube_api_key=PLANTED + "Key",
            notify_webhook=f"http://127.0.0.1:9/{PLANTED}Hook",
            ytdlp_proxy=f"http://me:{PLANTED}Proxy@127.0.0.1:9",
            api_admin_token=PLANTED + "Token",
            metrics_port=free_ports(6),
            lease_seconds=20,
        )
        with embedded.stack(settings, durable=False, workers=True) as endpoints:
            context = Context(endpoints.applied_to(settings))
            try:
                yield Stack(home, settings, context, emulator)
            finally:
                context.close()


def total(found: Series, name: str, *labels: str) -> float:
    return sum(
        value
        for series, value in found.items()
        if series.startswith(f"{name}{{") and all(label in series for label in labels)
    )


def crawled(stack: Stack) -> None:
    intake.add_all(stack.context, list(stack.emulator.catalog.channels))
    job_id = runs.start(stack.context)
    wait_until(lambda: jobs.view(stack.context, job_id).ended, "the crawl", 180)


def test_pools_are_counted_whole_and_what_goes_wrong_is_told(stack: Stack):
    crawled(stack)
    found = stack.scrape()
    assert total(found, "up") == len(metrics_ports(stack.settings))
    done = "tubegrader_work_done_total"
    assert total(found, done, 'kind="video.snapshot"') >= N_VIDEOS
    assert total(found, done, 'kind="video.thumbnail"') == N_VIDEOS
    assert total(found, "tubegrader_task_seconds_count", "crawl.snapshot_videos") >= 1
    assert total(found, "tubegrader_elected") == 1
    assert stack.firing(hours=2) == set()
    # A process of the pool is replaced: what it counted stays, and its place goes on.
    worker = stack.process(CRAWL.name)
    for child in worker.children(recursive=True):
        child.kill()
    before = Timeline()
    before.stays(stack.scrape(), timedelta(minutes=10))
    stack.context.queue.send(Task("crawl.snapshot_videos", CRAWL), "no token at all")
    crashed = 'outcome="crashed"'
    wait_until(
        lambda: total(stack.scrape("crawl"), "tubegrader_task_seconds_count", crashed) == 1,
        "the task that crashes",
    )
    found = stack.scrape()
    assert total(found, done, 'kind="video.snapshot"') >= N_VIDEOS
    before.stays(found, timedelta(minutes=3))
    assert before.firing() == {"TasksCrash"}


def test_frozen_processes_are_missed(stack: Stack):
    frozen = [stack.process(name) for name in (DISPATCHER, CRAWL.name)]
    timeline = Timeline()
    timeline.stays(stack.scrape(), timedelta(minutes=10))
    for process in frozen:
        process.suspend()
    try:
        wait_until(
            lambda: total(stack.scrape(API), "tubegrader_silent_processes") == 2, "silence", 150
        )
        timeline.stays(stack.scrape(), timedelta(minutes=10))
        assert timeline.firing() == {
            "NothingDispatched",
            "QueueWithoutWorkers",
            "ProcessSilent",
            "ProcessDown",
        }
    finally:
        for process in frozen:
            process.resume()
    wait_until(
        lambda: total(stack.scrape(API), "tubegrader_silent_processes") == 0, "their return", 60
    )
    assert stack.firing(hours=2) == set()


def test_secrets_are_in_no_log_argument_page_row_or_figure(stack: Stack):
    data = json.dumps({"seed": 1, "share": 0.2}).encode()
    assert fetch(f"{stack.emulator.url}/emulator/faults", data=data).status == 200
    intake.add_all(stack.context, list(stack.emulator.catalog.channels))
    job_id = runs.start(stack.context)
    jobs.submit(stack.context, "train", {})  # fails, and is told to the webhook
    wait_until(lambda: jobs.view(stack.context, job_id).progress_done >= N_VIDEOS / 2, "work", 180)
    wait_until(
        lambda: "notification.failed" in (stack.home / "logs/dispatcher.log").read_text(),
        "a notification that does not arrive",
        120,
    )
    stack.context.queue.send(Task("crawl.snapshot_videos", CRAWL), "no token at all")
    wait_until(lambda: "task.crashed" in (stack.home / "logs/crawl.log").read_text(), "a trace", 60)
    assert leaks(stack) == []


def leaks(stack: Stack) -> list[str]:
    """Where a planted secret is to be seen, of all that people and other users may look at."""
    seen = {f"logs/{path.name}": path.read_text(errors="replace")
            for path in (stack.home / "logs").iterdir()}  # fmt: skip
    for process in psutil.process_iter():
        try:
            seen[f"arguments of {process.pid}"] = " ".join(process.cmdline())
        except psutil.Error:
            continue
    for name, port in metrics_ports(stack.settings).items():
        seen[f"metrics of {name}"] = fetch(f"http://127.0.0.1:{port}/metrics").body.decode()
    url, token = api_url(Home(stack.home)), PLANTED + "Token"
    for page in ("/", "/jobs", "/schedules", "/models", "/metrics", "/api/v1/system",
                 "/api/v1/quota", "/api/v1/jobs", "/api/v1/work-items", "/nothing"):  # fmt: skip
        answer = fetch(f"{url}{page}", {"Authorization": f"Bearer {token}"})
        seen[page] = answer.body.decode()
    with stack.context.engine.connect() as connection:
        tables = connection.execute(text("SELECT relname FROM pg_stat_user_tables")).scalars()
        for table in list(tables):
            rows = connection.execute(text(f'SELECT t::text FROM "{table}" t')).scalars()
            seen[f"table {table}"] = "\n".join(rows)
    # Also as it would be in an address.
    return [where for where, what in seen.items() if PLANTED in what or quote(PLANTED) in what]
