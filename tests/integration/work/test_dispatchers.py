"""Dispatchers in any number: one is elected, another takes over, and nothing goes out twice."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from sqlalchemy import text

from db.queries.work import work_items
from services.context import Context
from services.crawl import watchlist
from services.embedded import Endpoints
from services.queue import DISPATCHER, TaskQueue
from services.tick import dispatch, hand_out, most_waiting
from services.work import fleet
from services.work.kinds import CHANNEL_SNAPSHOT, WORK_KINDS
from tests.support.crawl import value
from tests.support.dispatchers import environ, members, start
from tests.support.embedded import wait_until
from tests.support.operations import Operations, operations

__all__ = ["environ", "members", "operations"]

TERM = timedelta(milliseconds=300)


def many_due(operations: Operations, n: int = 3_000) -> None:
    operations.make_work(CHANNEL_SNAPSHOT.name, n)


def test_five_at_once_keep_the_cap_on_batches_under_lease(operations: Operations):
    many_due(operations)
    contexts = [dataclasses.replace(operations.context) for _ in range(5)]
    for context in contexts:
        context.__dict__["queue"] = operations.queue
    start = threading.Barrier(5)

    def tick(context: Context) -> None:
        start.wait()
        for _ in range(3):
            hand_out(context)

    with ThreadPoolExecutor(5) as pool:
        list(pool.map(tick, contexts))
    assert len(operations.queue.sent) == CHANNEL_SNAPSHOT.most_leased
    assert len({args for _, args in operations.queue.sent}) == CHANNEL_SNAPSHOT.most_leased
    for context in contexts:
        context.close()


def test_a_message_that_is_taken_twice_finds_its_token_spent(operations: Operations):
    operations.make_work(CHANNEL_SNAPSHOT.name, 1)
    [token] = operations.tokens()
    later = operations.clock() + timedelta(minutes=2)
    with operations.context.transaction() as first:
        held, items = work_items.begin(first, token, until=later)
    with operations.context.transaction() as second:
        _, again = work_items.begin(second, token, until=later)
    assert (len(items), again) == (1, [])
    with operations.context.transaction() as session:
        assert work_items.extend_lease(session, held, until=later) == 1


def test_a_queue_that_nobody_works_on_stays_short(operations: Operations):
    many_due(operations)
    queue = operations.queue
    queue.lengths = lambda: {"crawl": len(queue.sent)}  # type: ignore[method-assign]
    for _ in range(30):
        dispatch(operations.context)
        operations.turn(seconds=operations.context.settings.lease_seconds + 1)
    # A tick may go over it once, by what it claims.
    assert len(queue.sent) <= most_waiting("crawl") + CHANNEL_SNAPSHOT.most_leased
    # A worker that comes at last finds work in it that nobody was given since.
    good = 0
    for _, (token,) in queue.take():
        with operations.context.transaction() as session:
            _, items = work_items.begin(session, uuid.UUID(token), until=operations.clock())
            good += bool(items)
    assert good >= CHANNEL_SNAPSHOT.most_leased


def test_items_of_paused_channels_are_out_of_the_way_until_they_are_resumed(
    operations: Operations,
):
    many_due(operations, 60)
    ids = [row[0] for row in operations.sql("SELECT channel_id FROM channels ORDER BY 1")]
    assert watchlist.set_paused(operations.context, ids[:59], paused=True) == ids[:59]
    held = "SELECT count(*) FROM work_items WHERE is_held"
    assert value(operations.context, held) == 59
    # Found of a paused channel after that: not held, and not claimed either.
    operations.make_work(WORK_KINDS["channel.discover"].name, 60)
    operations.tick()
    leased = "SELECT entity_id, kind FROM work_items WHERE state = 'leased' ORDER BY 2"
    assert operations.sql(leased) == [(ids[59], "channel.discover"), (ids[59], "channel.snapshot")]
    # What is under lease belongs to its worker.
    assert watchlist.set_paused(operations.context, ids[59:], paused=True) == ids[59:]
    assert value(operations.context, held) == 59
    watchlist.set_paused(operations.context, ids, paused=False)
    assert value(operations.context, held) == 0
    operations.tick()
    assert value(operations.context, "SELECT count(*) FROM work_items WHERE state='leased'") == 120


def test_what_was_held_under_lease_is_given_back_when_its_channel_is_resumed(
    operations: Operations,
):
    many_due(operations, 1)
    [(channel_id,)] = operations.sql("SELECT channel_id FROM channels")
    operations.tick()
    watchlist.set_paused(operations.context, [channel_id], paused=True)
    # As migration 0017 did with what a worker had, or had lost, when its channel was paused.
    operations.sql("UPDATE work_items SET is_held = true WHERE state = 'leased'")
    watchlist.set_paused(operations.context, [channel_id], paused=False)
    operations.turn(hours=1)
    assert len(operations.tokens()) == 2


def test_one_is_elected_until_it_is_silent_or_leaves(context: Context, members: Any):
    first, second = members(), members()
    assert first.holds(DISPATCHER, term=TERM)
    assert not second.holds(DISPATCHER, term=TERM)
    assert first.holds(DISPATCHER, term=TERM), "it goes on"
    wait_until(lambda: second.holds(DISPATCHER, term=TERM), "the end of the term")
    assert not first.holds(DISPATCHER, term=TERM)
    second.beat()
    assert [p.is_elected for p in fleet.listed(context) if p.name == second.name] == [True]
    second.leave()
    assert first.holds(DISPATCHER, term=TERM), "nobody waits for one that left"


def test_an_office_is_free_though_the_databases_time_went_back(context: Context, members: Any):
    gone, next_one = members(), members()
    assert gone.holds(DISPATCHER)
    assert not next_one.holds(DISPATCHER)
    with context.transaction() as session:
        session.execute(text("UPDATE elections SET held_until = held_until + interval '1 hour'"))
    assert next_one.holds(DISPATCHER)


def test_a_heartbeat_that_crashed_goes_on(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(fleet, "BEAT_S", 0.05)
    ready = tmp_path / "missing" / "ready"  # as on a full or read-only file system
    member = fleet.Member(context, DISPATCHER, ready_file=ready)
    member.join()
    try:
        time.sleep(0.3)
        ready.parent.mkdir()
        wait_until(ready.exists, "the heartbeat to go on")
        wait_until(lambda: len(fleet.listed(context)) == 1, "it to be heard of")
    finally:
        member.leave()


def test_whoever_was_not_heard_of_is_shown_as_such_and_forgotten(context: Context, members: Any):
    member = members()
    member.beat()
    [seen] = [p for p in fleet.listed(context) if p.name == member.name]
    assert (seen.role, seen.pid, seen.is_alive) == (DISPATCHER, os.getpid(), True)
    with context.engine.begin() as connection:
        silent = "UPDATE worker_processes SET seen_at = now() - interval '2 hours'"
        connection.execute(text(silent))
    [seen] = [p for p in fleet.listed(context) if p.name == member.name]
    assert not seen.is_alive
    assert fleet.forget_silent(context) == 0
    with context.engine.begin() as connection:
        connection.execute(text(silent.replace("2 hours", "25 hours")))
    assert fleet.forget_silent(context) >= 1
    assert [p for p in fleet.listed(context) if p.name == member.name] == []


def test_another_process_takes_over_when_the_elected_one_is_frozen_or_killed(
    context: Context, environ: dict[str, str], tmp_path: Path
):
    def elected() -> int | None:
        return next((p.pid for p in fleet.listed(context) if p.is_elected), None)

    running = {p.pid: p for p in (start(environ, tmp_path / n) for n in ("one", "two"))}
    try:
        wait_until(lambda: elected() is not None, "an election")
        wait_until(lambda: {*running} <= {p.pid for p in fleet.listed(context)}, "both")
        first = elected()
        running[first].send_signal(signal.SIGSTOP)
        frozen_at = time.monotonic()
        wait_until(lambda: elected() not in (None, first), "another")
        assert time.monotonic() - frozen_at < 30
        second = elected()
        running[first].send_signal(signal.SIGCONT)
        running[second].kill()
        wait_until(lambda: elected() == first, "the first again")
        health = [sys.executable, "-m", "workers.health"]
        for name in ("one", "two"):
            env = {**environ, "TUBEGRADER_READY_FILE": str(tmp_path / name)}
            assert subprocess.run(health, env=env, check=False).returncode == 0
        running[first].terminate()
        assert running[first].wait(30) == 0
        assert elected() is None
        assert first not in {p.pid for p in fleet.listed(context)}
    finally:
        for process in running.values():
            process.kill()
            process.wait()


def test_health_is_a_file_that_was_touched_lately(tmp_path: Path):
    def check(**env: str) -> "subprocess.CompletedProcess[str]":
        argv = [sys.executable, "-m", "workers.health"]
        return subprocess.run(
            argv, env={**os.environ, **env}, capture_output=True, text=True, check=False
        )

    ready = tmp_path / "ready"
    assert "never was ready" in check(TUBEGRADER_READY_FILE=str(ready)).stderr
    ready.touch()
    assert check(TUBEGRADER_READY_FILE=str(ready)).returncode == 0
    os.utime(ready, (time.time() - 120,) * 2)
    old = check(TUBEGRADER_READY_FILE=str(ready))
    assert (old.returncode, "last heard of 120 s ago" in old.stderr) == (1, True)


def test_a_process_waits_for_its_database_and_says_so(environ: dict[str, str], tmp_path: Path):
    away = {**environ, "TUBEGRADER_DATABASE_URL": "postgresql+psycopg://x@127.0.0.1:1/x"}
    process = start(away, tmp_path / "ready")
    try:
        log = tmp_path / "ready.log"
        wait_until(lambda: "worker.waits" in log.read_text(), "it to say so")
        line = next(line for line in log.read_text().splitlines() if "worker.waits" in line)
        assert "the database cannot be used" in json.loads(line)["problem"]
        process.terminate()
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def small_redis(endpoints: Endpoints) -> Iterator["redis.Redis[Any]"]:
    """The session's Redis with room for two megabytes more."""
    with redis.Redis.from_url(endpoints.redis_url) as client:
        client.flushdb()
        before = client.config_get("maxmemory")["maxmemory"]
        client.config_set("maxmemory", client.info("memory")["used_memory"] + 2_000_000)
        yield client
        client.config_set("maxmemory", before)
        client.flushdb()


def fill(client: "redis.Redis[Any]", key: str) -> None:
    """Take all of the room, and more than the buffers of whoever asks give back."""
    with suppress(redis.exceptions.OutOfMemoryError):
        while True:
            client.lpush(key, b"x" * 10_000)
    client.config_set("maxmemory", client.info("memory")["used_memory"] - 500_000)


def test_a_broker_full_of_our_own_is_emptied_at_the_start(
    endpoints: Endpoints, small_redis: "redis.Redis[Any]"
):
    queue = TaskQueue(endpoints.redis_url, "tubegrader:mine:")
    assert queue.make_room() == 0
    fill(small_redis, "tubegrader:mine:crawl")
    with pytest.raises(Exception, match="is full") as caught:
        queue.send(CHANNEL_SNAPSHOT.task, "a-token")
    assert caught.value.reason == "brokerFull"
    assert queue.make_room() >= 1
    queue.send(CHANNEL_SNAPSHOT.task, "a-token")


def test_a_broker_full_of_what_is_not_ours_is_told_and_left_alone(
    endpoints: Endpoints, small_redis: "redis.Redis[Any]"
):
    fill(small_redis, "somebody:elses")
    queue = TaskQueue(endpoints.redis_url, "tubegrader:mine:")
    with pytest.raises(Exception, match="is full") as caught:
        queue.make_room()
    assert caught.value.reason == "brokerFull"
    assert small_redis.llen("somebody:elses") > 0
