"""Workers: what is sent lands in its queue, tasks call their services, nothing is swallowed."""

import base64
import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import redis
import structlog
from sqlalchemy import text
from structlog.testing import capture_logs

import workers.control
import workers.crawl
import workers.media
from services.context import Context
from services.crawl import runs
from services.embedded import Endpoints
from services.emulator.synthetic import synthetic_catalog
from services.errors import TransientError
from services.queue import QUEUES, Queue, Task, TaskQueue, key_prefix
from services.tick import dispatch, make_partitions
from services.work import kinds
from tests.support.crawl import NOW, newest_counts, offline_crawl, true_counts, value
from workers.app import app
from workers.base import task

PREFIX = key_prefix(uuid.UUID(int=7))


@pytest.fixture
def broker(endpoints: Endpoints) -> Iterator["redis.Redis[str]"]:
    """The session's Redis, emptied."""
    with redis.Redis.from_url(endpoints.redis_url, decode_responses=True) as client:
        client.flushdb()
        yield client
        client.flushdb()


@pytest.fixture
def task_queue(endpoints: Endpoints, broker: "redis.Redis[str]") -> TaskQueue:
    return TaskQueue(endpoints.redis_url, PREFIX)


def messages(broker: "redis.Redis[str]", name: str) -> list[dict[str, Any]]:
    """What waits in a queue, newest first, with the body decoded."""
    found = [json.loads(entry) for entry in broker.lrange(PREFIX + name, 0, -1)]
    return [{**m, "body": json.loads(base64.b64decode(m["body"]))} for m in found]


@pytest.mark.parametrize("task_", kinds.tasks(), ids=lambda task_: task_.name)
def test_a_message_lands_in_the_queue_of_its_task(
    task_queue: TaskQueue, broker: "redis.Redis[str]", task_: Task
):
    task_queue.send(task_, "a-token")
    [message] = messages(broker, task_.queue.name)
    assert message["headers"]["task"] == task_.name
    assert message["body"][0] == ["a-token"]
    assert message["content-type"] == "application/json"
    assert message["headers"]["expires"] is None, "what it asks for is due or not, whatever its age"
    assert task_queue.lengths() == {name: name == task_.queue.name for name in QUEUES}


def test_a_task_of_a_queue_that_is_not_declared_is_not_sent(
    task_queue: TaskQueue, broker: "redis.Redis[str]"
):
    with pytest.raises(KeyError):
        task_queue.send(Task("crawl.everything", Queue("everything")))
    assert broker.keys() == []


def test_a_lost_broker_is_a_failure_in_passing_with_a_hint():
    away = TaskQueue("redis://127.0.0.1:1/0")
    with pytest.raises(TransientError) as caught:
        away.send(kinds.VIDEO_SNAPSHOT.task)
    assert caught.value.reason == "brokerUnreachable"
    assert "TUBEGRADER_REDIS_URL" in str(caught.value.hint)


@pytest.fixture
def own_context(context: Context, monkeypatch: pytest.MonkeyPatch) -> Context:
    """The tasks of this process work with the test's context."""
    for module in (workers.crawl, workers.media, workers.control):
        monkeypatch.setattr(module, "context", context)
    return context


def test_a_tick_sends_what_is_due_and_the_tasks_do_it(
    own_context: Context, task_queue: TaskQueue, broker: "redis.Redis[str]", monkeypatch
):
    """Through a real Redis, with the tasks called as a worker calls them."""
    catalog = synthetic_catalog(seed=4, epoch=NOW, channels=2, videos=20)
    with offline_crawl(own_context, catalog) as crawl:
        for module in (workers.crawl, workers.media, workers.control):
            monkeypatch.setattr(module, "context", crawl.context)
        crawl.context.__dict__["queue"] = task_queue
        job_id = runs.start(crawl.context)
        sent = []
        while dispatch(crawl.context):
            for name in QUEUES:
                for message in messages(broker, name):
                    sent.append(message["headers"]["task"])
                    app.tasks[message["headers"]["task"]].run(*message["body"][0])
                broker.delete(PREFIX + name)
        # Nobody asked for audio.
        assert set(sent) == {k.task.name for k in kinds.WORK_KINDS.values()} - {"media.fetch_audio"}
        assert newest_counts(own_context) == true_counts(crawl.truth())
        state = "SELECT state FROM jobs WHERE job_id = :j"
        assert value(own_context, state, j=job_id) == "succeeded"


class LosingQueue(TaskQueue):
    """Its broker goes away between the two questions."""

    def lengths(self) -> dict[str, int]:
        return {}


@pytest.mark.parametrize("away", [TaskQueue, LosingQueue])
def test_a_tick_that_cannot_send_leaves_the_work_to_come_back(
    own_context: Context, away: type[TaskQueue]
):
    catalog = synthetic_catalog(seed=4, epoch=NOW, channels=2, videos=20)
    with offline_crawl(own_context, catalog) as crawl:
        working = crawl.context.queue
        crawl.context.__dict__["queue"] = away("redis://127.0.0.1:1/0")
        job_id = runs.start(crawl.context)
        with pytest.raises(TransientError):
            dispatch(crawl.context)
        crawl.context.__dict__["queue"] = working
        if away is TaskQueue:
            assert value(own_context, "SELECT count(*) FROM work_items WHERE state = 'leased'") == 0
            return
        crawl.settle()
        assert crawl.queue.sent == []  # all of it is under lease
        crawl.turn(seconds=crawl.context.settings.lease_seconds)
        crawl.settle()
        assert newest_counts(own_context) == true_counts(crawl.truth())
        state = "SELECT state FROM jobs WHERE job_id = :j"
        assert value(own_context, state, j=job_id) == "succeeded"


def test_a_message_whose_lease_is_spent_does_nothing(own_context: Context):
    for kind in kinds.WORK_KINDS.values():
        assert app.tasks[kind.task.name].run(str(uuid.uuid4())) == 0


def test_partitions_are_made_ahead(own_context: Context):
    with own_context.engine.begin() as connection:
        newest = connection.execute(
            text(
                "SELECT max(inhrelid::regclass::text) FROM pg_inherits "
                "WHERE inhparent = 'video_snapshots'::regclass"
            )
        ).scalar_one()
        connection.execute(text("SELECT drop_partition(:name)"), {"name": newest})
    assert make_partitions(own_context) == [newest]
    assert make_partitions(own_context) == []


@pytest.fixture
def registered() -> Iterator[list[str]]:
    """Names of tasks that a test made, taken away afterwards."""
    names: list[str] = []
    yield names
    for name in names:
        del app.tasks[name]


def test_a_defect_is_logged_with_its_task_and_raised(registered: list[str]):
    @task("test.breaks")
    def breaks(token: str) -> int:
        raise ZeroDivisionError(token)

    registered.append("test.breaks")
    with (
        capture_logs(processors=[structlog.contextvars.merge_contextvars]) as logs,
        pytest.raises(ZeroDivisionError),
    ):
        app.tasks["test.breaks"].run("a-token")
    [line] = logs
    assert (line["event"], line["log_level"]) == ("task.crashed", "error")
    assert (line["task"], line["args"]) == ("test.breaks", ("a-token",))


def test_what_a_task_did_is_one_line_and_nothing_done_is_none(registered: list[str]):
    @task("test.counts")
    def counts(n: int) -> int:
        return n

    registered.append("test.counts")
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as logs:
        assert counts(0) == 0
        assert logs == []
        assert counts(3) == 3
    assert [(line["event"], line["outcome"]) for line in logs] == [("task.done", 3)]
