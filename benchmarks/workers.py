"""Two crawl workers against one, when what they wait for is YouTube."""

import json
import os
import statistics
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path

from sqlalchemy import text

from benchmarks import place
from benchmarks.measure import Measurement, timed
from db.queries.work import crawled
from services import embedded
from services.context import Context
from services.crawl import intake
from services.embedded.processes import READY_FILE
from services.embedded.workers import process_specs
from services.settings import Settings
from services.tick import dispatch
from services.work.kinds import WORK_KINDS

LATENCY_S = 0.5
VIDEOS = 16 * WORK_KINDS["video.snapshot"].batch_size
"""A batch for each process of two workers four times over."""
IDS_PER_CALL = 50
PATIENCE_S = 300.0
KIND = "video.snapshot"


def measure(*, full: bool) -> list[Measurement]:
    """Have the same due videos refreshed by one worker of the stack, then by two of them."""
    rounds = 3 if full else 1
    with (
        place.folder() as folder,
        place.youtube(folder, channels=40, videos=VIDEOS) as youtube,
    ):
        settings = place.crawling_settings(folder, youtube)
        with embedded.stack(settings, durable=False) as endpoints:
            own = endpoints.applied_to(settings)
            # As the owner, who alone may analyse.
            context = Context(own.model_copy(update={"database_url": endpoints.owner_url}))
            try:
                _fill(context, youtube.channel_ids)
                bare = _seconds_a_call(context)
                _slow_down(youtube.url)
                with ExitStack() as workers:
                    taken = []
                    for n in (1, 2):
                        log = folder / f"worker{n}.log"
                        workers.enter_context(_worker(own, endpoints, n, log))
                        _refresh_all(context)  # warms up connections and imports
                        turns = [timed(lambda: _refresh_all(context)) for _ in range(rounds)]
                        taken.append(statistics.median(turns))
            finally:
                context.close()
    one, two = taken
    calls = VIDEOS / IDS_PER_CALL
    return [
        Measurement(
            f"two crawl workers, each answer {LATENCY_S * 1000:.0f} ms away",
            f"{VIDEOS / two:,.0f} videos/s",
            f"one of them, {VIDEOS / one:,.0f} videos/s",
            one / two,
            at_least=1.7,
        ),
        Measurement(
            "the offline YouTube's own share of that time",
            f"{bare * 1000:.0f} ms a call",
            f"{two / calls * 1000:.0f} ms a call of two workers",
            bare * calls / two,
        ),
    ]


def _fill(context: Context, channel_ids: list[str]) -> None:
    """Know all videos as if they had been read before: only their counts are asked for."""
    with context.engine.begin() as connection:
        # Nothing else is to be due.
        connection.execute(text("DELETE FROM schedules"))
    intake.add_all(context, channel_ids)
    with urllib.request.urlopen(f"{context.settings.youtube_endpoint}/emulator/truth") as answer:
        shown = json.load(answer)["videos"]
    now = context.clock()
    with context.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO videos "
                "(video_id, channel_id, published_at, first_seen_at, refreshed_at) "
                "VALUES (:video_id, :channel_id, :published_at, :now, :now)"
            ),
            [
                {
                    "video_id": video["video_id"],
                    "channel_id": video["channel_id"],
                    "published_at": datetime.fromisoformat(video["published_at"]),
                    "now": now,
                }
                for video in shown
            ],
        )
        connection.execute(text("DELETE FROM work_items"))
        connection.execute(
            text(
                "INSERT INTO work_items (kind, entity_id, channel_id, state) "
                f"SELECT '{KIND}', video_id, channel_id, 'idle' FROM videos"
            )
        )
        connection.execute(text("ANALYZE"))


def _seconds_a_call(context: Context) -> float:
    """Return what a call takes when nothing slows it down: the client and the server together."""
    with context.engine.connect() as connection:
        ids = connection.scalars(text("SELECT video_id FROM videos LIMIT 1000")).all()
    context.youtube.statistics(ids[:IDS_PER_CALL])
    return timed(lambda: context.youtube.statistics(ids)) / (len(ids) / IDS_PER_CALL)


def _slow_down(url: str) -> None:
    plan = {"latency_s": LATENCY_S, "rates": {"*": {"latency": 1.0}}}
    urllib.request.urlopen(f"{url}/emulator/faults", json.dumps(plan).encode()).close()


@contextmanager
def _worker(settings: Settings, endpoints: embedded.Endpoints, n: int, log: Path) -> Iterator[None]:
    """Run a crawl worker as the stack runs it; return when it listens."""
    [spec] = [s for s in process_specs(settings, endpoints) if s.name == "crawl"]
    argv = [f"crawl{n}@%h" if word == "crawl@%h" else word for word in spec.argv]
    ready = log.with_suffix(".ready")
    env = {**os.environ, **spec.env, READY_FILE: str(ready)}
    with log.open("wb") as output:
        process = subprocess.Popen(argv, env=env, stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not ready.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the worker did not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait()


def _refresh_all(context: Context) -> None:
    """Make all videos due, hand them out, and wait until each is done."""
    requested_at = context.clock()
    with context.transaction() as session:
        due = crawled.make_due(session, kinds=[KIND], channel_ids=None, now=requested_at)
    assert due == VIDEOS
    deadline = time.monotonic() + PATIENCE_S
    while _left(context, requested_at):
        assert time.monotonic() < deadline, "the workers do not come to an end"
        dispatch(context)
        time.sleep(0.05)


def _left(context: Context, since: datetime) -> int:
    with context.engine.connect() as connection:
        left: int = connection.execute(
            text("SELECT count(*) FROM work_items WHERE done_at < :t OR done_at IS NULL"),
            {"t": since},
        ).scalar_one()
    return left
