"""The way work reaches workers: queues, tasks, and the broker's settings.

Services know tasks by **name** only; a test holds these names and the registered tasks together.
What is due is decided in Postgres. A message is only a hint that may be lost or come twice: it
carries a lease token, and a token that is spent finds nothing to do.
"""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from services.errors import TransientError

if TYPE_CHECKING:
    from celery import Celery
    from redis import Redis


@dataclass(frozen=True)
class Queue:
    """Where messages wait for workers: declared here, with a service in ``docker-compose.yml``.

    Attributes:
        name: Also its worker's.
        processes: Batches or jobs that one worker does at once.
        spawns: Whether these start anew instead of by fork: a forked child cannot use CUDA once
            its parent has.
    """

    name: str
    processes: int = 1
    spawns: bool = False


CRAWL: Final = Queue("crawl", processes=2)
MEDIA: Final = Queue("media")
LEARNING: Final = Queue("learning", spawns=True)
SCORING: Final = Queue("scoring", spawns=True)
QUEUES: Final = {queue.name: queue for queue in (CRAWL, MEDIA, LEARNING, SCORING)}


DISPATCHER: Final = "dispatcher"
"""The process that fills the queues, and waits in none: ``workers.dispatcher``."""


@dataclass(frozen=True)
class Task:
    """What a worker is asked to do: the name it is registered by, and the queue it waits in."""

    name: str
    queue: Queue


NEEDED_BYTES = 250_000
"""So much must fit into the broker: all messages that may wait at once."""
VISIBILITY_TIMEOUT_S = 12 * 3600
"""Longer than any task: an unacknowledged message is sent again after this time."""


def key_prefix(installation_id: uuid.UUID) -> str:
    """Return how the names of an installation's keys begin in Redis, which others may use too."""
    return f"tubegrader:{installation_id.hex[:12]}:"


def celery_config(redis_url: str, *, prefix: str = "") -> dict[str, Any]:
    """Return Celery's configuration, the same for those who send and those who work.

    Args:
        redis_url: The broker.
        prefix: Of every key, as of :func:`key_prefix`.
    """
    transport = {
        "global_keyprefix": prefix,
        "visibility_timeout": VISIBILITY_TIMEOUT_S,
        # Without these a lost Redis is waited for without end.
        "socket_timeout": 30,
        "socket_connect_timeout": 10,
        "retry_on_timeout": True,
        "health_check_interval": 30,
    }
    return {
        "broker_url": redis_url,
        "broker_transport_options": transport,
        "result_backend_transport_options": transport,
        "visibility_timeout": VISIBILITY_TIMEOUT_S,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "task_serializer": "json",
        "accept_content": ["json"],
        # Outcomes are rows in Postgres.
        "task_ignore_result": True,
        "task_default_queue": CRAWL.name,
        "task_create_missing_queues": False,
        "task_queues": _queues(),
        # A killed worker's batch comes back when its lease ends; acknowledging late would only
        # add a second, slower way to the same end.
        "task_acks_late": False,
        "worker_prefetch_multiplier": 1,
        # What a worker had taken beside what it does, nobody else could do: at the end of a scoring
        # the others would stand idle for as long as a shard takes.
        "worker_disable_prefetch": True,
        "worker_soft_shutdown_timeout": 10.0,
        "worker_enable_soft_shutdown_on_idle": True,
        "worker_hijack_root_logger": False,
        "worker_send_task_events": False,
        # Whoever reaches Redis could stop queues with it, unseen. Who works: `tubegrader status`.
        "worker_enable_remote_control": False,
        "worker_max_memory_per_child": 1_000_000,
        # A new child imports the application; on a busy machine that takes more than Celery's four
        # seconds, after which it would be killed and begun again without end.
        "worker_proc_alive_timeout": 60.0,
        "timezone": "UTC",
    }


def _queues() -> list[Any]:
    from kombu.entity import Queue as KombuQueue  # noqa: PLC0415  (0.3 s; only who sends or works pays)

    make: Any = KombuQueue
    return [make(name, routing_key=name) for name in QUEUES]


class TaskQueue:
    """Sends tasks by name to a broker."""

    def __init__(self, redis_url: str, prefix: str = "") -> None:
        """Make a way to the broker; nothing is opened before it is used.

        Args:
            redis_url: The broker.
            prefix: Of every key, as of :func:`key_prefix`.
        """
        self._redis_url = redis_url
        self.prefix = prefix

    def send(self, task: Task, *args: str) -> None:
        """Send a task.

        Raises:
            KeyError: Its queue is not declared, so that nobody would ever take it.
            TransientError: The broker cannot be reached, or is full. Nothing is lost: what is due
                stays due.
        """
        with _reported(self._redis_url):
            self._producer.send_task(
                task.name,
                args=args,
                queue=task.queue.name,
                retry=True,
                retry_policy={"max_retries": 2, "interval_start": 0.2, "interval_step": 0.5},
            )

    def lengths(self) -> dict[str, int]:
        """Return how many messages wait in each queue, by its name.

        Raises:
            TransientError: The broker cannot be reached.
        """
        with _reported(self._redis_url), self._redis.pipeline(transaction=False) as pipe:
            for name in QUEUES:
                pipe.llen(self.prefix + name)
            return dict(zip(QUEUES, pipe.execute(), strict=True))

    def make_room(self) -> int:
        """Empty a broker that takes nothing more of what is our own; return how many keys went.

        What was queued is still due, and sent again when its lease has ended.

        Raises:
            TransientError: It cannot be reached, or is full of what is not ours.
        """
        with _reported(self._redis_url):
            if self._takes_more():
                return 0
            ours = list(self._redis.scan_iter(match=f"{self.prefix}*", count=1_000))
            if ours:
                self._redis.delete(*ours)
            if self._takes_more():
                return len(ours)
        raise _full(self._redis_url)

    def _takes_more(self) -> bool:
        from redis.exceptions import OutOfMemoryError  # noqa: PLC0415

        key = f"{self.prefix}room"
        try:
            self._redis.set(key, "x" * NEEDED_BYTES, ex=60)
            self._redis.delete(key)
        except OutOfMemoryError:
            return False
        return True

    @cached_property
    def _redis(self) -> "Redis":
        from redis import Redis  # noqa: PLC0415

        return Redis.from_url(self._redis_url, socket_timeout=30, socket_connect_timeout=10)

    @cached_property
    def _producer(self) -> "Celery":
        from celery import Celery  # noqa: PLC0415

        app = Celery("tubegrader-producer", set_as_current=False)
        app.conf.update(celery_config(self._redis_url, prefix=self.prefix))
        return app


@contextmanager
def _reported(redis_url: str) -> Iterator[None]:
    """Turn what is wrong with the broker into a TransientError that says so."""
    from kombu.exceptions import OperationalError  # noqa: PLC0415
    from redis.exceptions import OutOfMemoryError, RedisError  # noqa: PLC0415

    try:
        yield
    except OutOfMemoryError as error:
        raise _full(redis_url) from error
    except (OperationalError, RedisError, OSError) as error:
        if isinstance(error.__cause__, OutOfMemoryError):
            raise _full(redis_url) from error
        raise TransientError(
            f"Redis cannot be reached: {error}",
            reason="brokerUnreachable",
            hint="check TUBEGRADER_REDIS_URL, or run `tubegrader doctor`",
        ) from error


def _full(redis_url: str) -> TransientError:
    address = urlsplit(redis_url)
    return TransientError(
        f"the Redis at {address.hostname}:{address.port or 6379} is full and takes nothing more",
        reason="brokerFull",
        hint="see `redis-cli --bigkeys` for what fills it; of this installation only messages lie "
        "there, few and small. A Redis of its own keeps others out",
    )
