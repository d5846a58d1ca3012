"""Real worker processes, killed in mid-crawl: it completes, nothing is lost or done twice."""

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis

from services import embedded
from services.context import Context
from services.crawl import intake, runs
from services.emulator.synthetic import synthetic_catalog
from services.settings import Settings
from services.work import jobs
from tests.support.crawl import KEY, counts, rows, value
from tests.support.embedded import home, made_home, supervised, wait_until
from tests.support.emulator import RunningEmulator, fetch, running_emulator

__all__ = ["home", "made_home"]

N_CHANNELS, N_VIDEOS = 12, 300
LATENCY_S = 0.25
"""Twelve channels in batches of ten: the first batch takes three seconds at least."""
LEASE_S = 4.0


@dataclass
class Crawl:
    """A crawl that real workers are busy with."""

    home: Path
    context: Context
    endpoints: embedded.Endpoints
    emulator: RunningEmulator
    job_id: Any

    def is_under_way(self) -> bool:
        """Whether the first videos are found, and most not yet."""
        return 0 < int(value(self.context, "SELECT count(*) FROM videos")) < N_VIDEOS / 2

    def worker(self, queue: str) -> psutil.Process:
        found = supervised(self.home, queue)
        assert found is not None
        return psutil.Process(found.pid)

    def view(self) -> jobs.JobView:
        return jobs.view(self.context, self.job_id)


@contextmanager
def crawl_under_way(home: Path) -> Iterator[Crawl]:
    """Start workers and a crawl, and stop when its first videos are found."""
    catalog = synthetic_catalog(
        seed=9, epoch=datetime.now(UTC), channels=N_CHANNELS, videos=N_VIDEOS
    )
    with running_emulator(catalog, latency_s=LATENCY_S) as emulator:
        settings = Settings(
            home=home,
            youtube_endpoint=emulator.url,
            thumbnail_url=emulator.url,
            feed_url=emulator.url,
            youtube_api_key=KEY,
            lease_seconds=LEASE_S,
        )
        with embedded.stack(settings, durable=False) as endpoints:
            context = Context(endpoints.applied_to(settings))
            intake.add_all(context, list(catalog.channels))
            # Asked for before there are workers, or they might collect the channels once before.
            crawl = Crawl(home, context, endpoints, emulator, runs.start(context))
            try:
                with embedded.stack(settings, workers=True):
                    wait_until(crawl.is_under_way, "the first videos")
                    yield crawl
            finally:
                context.close()


def check_complete(crawl: Crawl) -> None:
    """All that there is was collected, and none of it twice."""
    wait_until(lambda: crawl.view().ended, "the end of the crawl", 120)
    job = crawl.view()
    assert job.state == "succeeded", job.error_message
    assert job.result is not None
    assert job.result["failures"] == []
    assert job.result["done"] == 2 * N_CHANNELS + 2 * N_VIDEOS
    truth = json.loads(fetch(f"{crawl.emulator.url}/emulator/truth").body)
    context = crawl.context
    assert set(rows(context, "SELECT video_id, channel_id FROM videos")) == {
        (video["video_id"], video["channel_id"]) for video in truth["videos"]
    }
    # One snapshot of each video and channel, though some were read twice.
    snapshots = rows(context, "SELECT video_id, view_count, captured_at FROM video_snapshots")
    assert len(snapshots) == len({video_id for video_id, *_ in snapshots}) == N_VIDEOS
    videos, views = crawl.emulator.catalog.videos, crawl.emulator.catalog.views
    for video_id, view_count, captured_at in snapshots:
        # Read at some moment of the crawl, before it was written down.
        assert views(videos[video_id], job.created_at) <= view_count
        assert view_count <= views(videos[video_id], captured_at)
    found = counts(context)
    del found["jobs"]
    assert found == {
        "channels": N_CHANNELS,
        "channel_snapshots": N_CHANNELS,
        "videos": N_VIDEOS,
        "video_snapshots": N_VIDEOS,
        "thumbnails": N_VIDEOS,
        "video_thumbnails": N_VIDEOS,
        "objects": N_VIDEOS,
        "work_items": 2 * N_CHANNELS + 2 * N_VIDEOS,
    }
    stored = rows(context, "SELECT video_id, thumbnail_sha256 FROM video_thumbnails")
    pictures = context.store.get_many([sha256 for _, sha256 in stored])
    for (video_id, _), picture in zip(stored, pictures, strict=True):
        assert picture == crawl.emulator.catalog.picture(video_id)


def kill_main_process(crawl: Crawl) -> None:
    """``kill -9`` of the worker itself: its children lose their parent."""
    worker = crawl.worker("crawl")
    worker.send_signal(signal.SIGKILL)
    wait_until(lambda: not worker.is_running(), "its end")


def kill_pool_processes(crawl: Crawl) -> None:
    """``kill -9`` of the processes that do the work; Celery starts others, theirs is lost."""
    for child in crawl.worker("crawl").children():
        child.send_signal(signal.SIGKILL)


def kill_all_workers(crawl: Crawl) -> None:
    """``kill -9`` of the workers of all queues, and the dispatcher, one after the other."""
    for name in ("crawl", "media", "dispatcher"):
        crawl.worker(name).send_signal(signal.SIGKILL)


def wipe_redis(crawl: Crawl) -> None:
    """Every message is gone, and whatever else the broker remembered."""
    with redis.Redis.from_url(crawl.endpoints.redis_url) as broker:
        broker.flushall()


def wipe_redis_again_and_again(crawl: Crawl) -> None:
    """It is empty each time that somebody looks, for longer than a lease."""
    for n in range(1, 9):
        done = 20 * n
        wait_until(
            lambda least=done: crawl.view().ended or crawl.view().progress_done >= least,
            f"{done} items",
        )
        wipe_redis(crawl)


FAULTS = [
    kill_main_process,
    pytest.param(kill_pool_processes, marks=pytest.mark.slow),
    pytest.param(kill_all_workers, marks=pytest.mark.slow),
    pytest.param(wipe_redis, marks=pytest.mark.slow),
    pytest.param(wipe_redis_again_and_again, marks=pytest.mark.slow),
]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_crawl_survives(home: Path, fault: Callable[[Crawl], None]):
    with crawl_under_way(home) as crawl:
        fault(crawl)
        assert not crawl.view().ended, "the fault came too late to say anything"
        check_complete(crawl)
