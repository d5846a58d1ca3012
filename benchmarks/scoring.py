"""Two scoring workers with a core each against one, and a store that answers in 150 ms.

All that serves them (PostgreSQL, Redis, who hands out) has the same cores as they, so what it costs
is in every figure. They have started, and have scored everything once, before anything is measured;
what is measured lies between the first shard's beginning and the last one's end, after planning.

    python -m benchmarks.scoring --quick

takes a quarter as many videos and half the rounds: some minutes on two quiet cores. Where others
have the cores, believe processor time: workers that take no more of it than one does lose nothing
to each other, and what waits for a store takes none.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import psutil
from redis import Redis
from sqlalchemy import text

from benchmarks import place
from benchmarks.measure import Measurement, interleaved, processor_s_of
from services import embedded
from services.context import Context
from services.emulator.synthetic import synthetic_catalog
from services.learning import tasks
from services.learning.thumbnails import scoring
from services.queue import SCORING, Task
from services.settings import Settings
from services.tick import hand_out
from services.work import jobs
from tests.support.report import learn, store_world
from tests.support.scoring import NOW

QUICK_VIDEOS, VIDEOS, FULL_VIDEOS = 2_048, 8_192, 32_768
LEARNED, AT_ONCE = 256, 256
ROWS, CHUNK = 1_024, 512
"""Half a shard, so that two workers have the same to do of these few videos; a chunk is whole."""
QUICK_ROUNDS, ROUNDS = 2, 5
TWO_BUDGET, FAR_BUDGET = 1.8, 1.1
FAR_S = 0.15
LIMIT_S = 3_600.0
POLL_S = 1
"""So long a worker waits for a message before it looks whether it is to take any."""
MESSAGES, MOST, LATE = "bench:messages", "bench:most", "bench:late"
"""What waits for a worker, how many of them take any, and how late the store answers them."""


def measure(*, full: bool = False, quick: bool = False) -> list[Measurement]:
    """Score the same videos by one process, by two, and by one whose store is far away."""
    videos = QUICK_VIDEOS if quick else FULL_VIDEOS if full else VIDEOS
    with _world(videos) as context, _workers(context, 2) as place:
        alone, two, far = interleaved(
            [
                lambda: place.seconds(workers=1),
                lambda: place.seconds(workers=2),
                lambda: place.seconds(workers=1, answers_s=FAR_S),
            ],
            rounds=QUICK_ROUNDS if quick else ROUNDS,
        )
        besides, of_one, of_far = (place.spent[each] for each in ((2, 0.0), (1, 0.0), (1, FAR_S)))
    return [
        Measurement(
            what="two scoring workers with a core each, of one",
            measured=f"{two:.1f} s",
            against=f"{alone:.1f} s",
            ratio=alone / two,
            at_least=TWO_BUDGET,
        ),
        Measurement(
            what="a store that answers in 150 ms, of a folder",
            measured=f"{far:.1f} s",
            against=f"{alone:.1f} s",
            ratio=far / alone,
            at_most=FAR_BUDGET,
        ),
        Measurement(
            what="processor time of all that serves two scoring workers, of theirs",
            measured=f"{besides[0]:.1f} s",
            against=f"{besides[1]:.1f} s",
            ratio=besides[0] / besides[1],
        ),
        Measurement(
            what="processor time of two scoring workers, of one",
            measured=f"{besides[1]:.1f} s",
            against=f"{of_one[1]:.1f} s",
            ratio=besides[1] / of_one[1],
        ),
        Measurement(
            what="processor time with a store that answers in 150 ms, of a folder",
            measured=f"{of_far[1]:.1f} s",
            against=f"{of_one[1]:.1f} s",
            ratio=of_far[1] / of_one[1],
        ),
    ]


class _Messages:
    """A queue from which a worker takes one message at a time, as from Celery without prefetch."""

    prefix = ""

    def __init__(self, redis: "Redis") -> None:
        self._redis = redis

    def lengths(self) -> dict[str, int]:
        return {}

    def send(self, task: Task, *args: str) -> None:
        self._redis.rpush(MESSAGES, json.dumps([task.name, *args]))

    def take(self) -> list[str]:
        return [str(part) for part in json.loads(str(self._redis.lpop(MESSAGES)))]


class _Place:
    """Workers that have started, and all that serves them."""

    def __init__(self, context: Context, redis: "Redis", workers: Sequence[psutil.Process]) -> None:
        self._context = context
        self._redis = redis
        self._workers = workers
        self._cores = sorted(os.sched_getaffinity(0))
        self.spent: dict[tuple[int, float], tuple[float, float]] = {}
        """Processor time of the servers and of the workers, when so many worked last so far away.
        """

    def seconds(self, *, workers: int, answers_s: float = 0.0) -> float:
        """Score everything anew; return what it took from the first shard to the last."""
        self._redis.set(MOST, 0)
        time.sleep(2 * POLL_S)  # until none waits for a message any more
        _forget(self._context)
        self._redis.delete(MESSAGES)
        self._confine(workers)
        self._redis.set(LATE, answers_s)
        job_id = jobs.submit(self._context, "score", {})
        self._plan(job_id)
        before = self._spent()
        self._redis.set(MOST, workers)
        deadline = time.monotonic() + LIMIT_S
        while not (job := jobs.view(self._context, job_id)).ended:
            assert time.monotonic() < deadline, f"not scored within {LIMIT_S} s"
            hand_out(self._context)
            time.sleep(0.2)
        assert job.state == "succeeded", job.error_message
        after = self._spent()
        self.spent[workers, answers_s] = (after[0] - before[0], after[1] - before[1])
        with self._context.transaction() as session:
            took = "SELECT extract(epoch FROM max(ended_at) - min(begun_at)) FROM shards"
            return float(session.execute(text(took)).scalar_one())

    def _plan(self, job_id: uuid.UUID) -> None:
        hand_out(self._context)
        queue = self._context.queue
        assert isinstance(queue, _Messages)
        _name, job, token = queue.take()
        assert job == str(job_id)
        state = jobs.run(self._context, job_id, uuid.UUID(token), tasks.score)
        assert state == "running", state

    def _servers(self) -> list[psutil.Process]:
        """This process and what it started, but for the workers."""
        me = psutil.Process()
        workers = {worker.pid for worker in self._workers}
        return [me, *(p for p in place.servers(self._context) if p.pid not in workers)]

    def _confine(self, n: int) -> None:
        for process in self._servers():
            for thread in process.threads():
                os.sched_setaffinity(thread.id, self._cores[:n])

    def _spent(self) -> tuple[float, float]:
        return processor_s_of(self._servers()), processor_s_of(self._workers)


@contextmanager
def _world(videos: int) -> Iterator[Context]:
    """A database where models were trained on some channels, and others wait for their scores."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        settings = Settings(home=Path(folder) / "home")
        endpoints = stack.enter_context(embedded.stack(settings, durable=False))
        context = stack.enter_context(closing(Context(endpoints.applied_to(settings), lambda: NOW)))
        store_world(context, synthetic_catalog(seed=4, epoch=NOW, channels=32, videos=LEARNED))
        learn(context)
        for seed in range(videos // AT_ONCE):
            more = synthetic_catalog(seed=5 + seed, epoch=NOW, channels=8, videos=AT_ONCE)
            store_world(context, more)
        own = stack.enter_context(closing(Context.of_process(context.settings)))
        yield own


def _forget(context: Context) -> None:
    with context.engine.begin() as connection:
        for table in ("scores", "current_scores", "scorings", "schedules", "jobs"):
            connection.execute(text(f"DELETE FROM {table}"))


@contextmanager
def _workers(context: Context, n: int) -> Iterator[_Place]:
    """Start workers, each pinned to a core of its own."""
    cores = sorted(os.sched_getaffinity(0))
    settings = context.settings.model_dump_json(exclude_defaults=True)
    redis: Redis = Redis.from_url(str(context.settings.redis_url), decode_responses=True)
    running = []
    scoring.SHARD_ROWS = ROWS
    context.__dict__["queue"] = _Messages(redis)
    try:
        for number in range(n):
            pinned = ["taskset", "-c", str(cores[number % len(cores)])]
            command = [*pinned, sys.executable, "-c", _WORKER]
            arguments = [settings, str(CHUNK), NOW.isoformat(), str(number)]
            process = subprocess.Popen(
                [*command, *arguments],
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
            running.append(process)
            assert process.stdout is not None
            assert json.loads(process.stdout.readline()) == process.pid
        yield _Place(context, redis, [psutil.Process(process.pid) for process in running])
    finally:
        for process in running:
            process.kill()
            process.wait()
        redis.close()


_WORKER = f"""
import asyncio, json, os, sys, time, uuid
from datetime import datetime
from redis import Redis
from db.queries.learning import unscored
from services import log
from services.context import Context
from services.learning import tasks
from services.learning.thumbnails import shards as thumbnail_shards
from services.queue import SCORING
from services.settings import Settings
from services.storage import ObjectStore
from services.work import jobs, shards
from services.work.fleet import Member
log.configure(level="ERROR", log_format="console")
settings, chunk, asked_at, number = sys.argv[1:]
thumbnail_shards.CHUNK = int(chunk)
ask = unscored.to_score
# Ages are counted up to one moment, whenever a worker comes to it.
now = datetime.fromisoformat(asked_at)
unscored.to_score = lambda session, ids, **more: ask(session, ids, **{{**more, "now": now}})
context = Context.of_process(Settings(**json.loads(settings)))
redis = Redis.from_url(context.settings.redis_url)
near, late_s = ObjectStore._read, 0.0
async def read(self, sha256):
    if late_s:
        await asyncio.sleep(late_s)
    return await near(self, sha256)
ObjectStore._read = read
Member(context, SCORING.name).join()
print(os.getpid(), flush=True)
while True:
    if int(redis.get("{MOST}") or 0) <= int(number):
        time.sleep(0.05)
        continue
    found = redis.blpop("{MESSAGES}", timeout={POLL_S})
    if found is None:
        continue
    late_s = float(redis.get("{LATE}"))
    name, *args = json.loads(found[1])
    if name == "scoring.score":
        jobs.run(context, uuid.UUID(args[0]), uuid.UUID(args[1]), tasks.score)
    else:
        shards.do(context, uuid.UUID(args[0]), tasks.score_shard)
"""
assert SCORING.processes == 1, "one shard at a time in a worker"


def main() -> None:
    """Measure and print the table."""
    from benchmarks.__main__ import print_table

    parser = argparse.ArgumentParser(prog="python -m benchmarks.scoring", description=__doc__)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="fewer videos and rounds")
    size.add_argument("--full", action="store_true", help="the largest sizes")
    options = parser.parse_args()
    print_table(measure(full=options.full, quick=options.quick))


if __name__ == "__main__":
    main()
