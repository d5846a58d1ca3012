"""The way work reaches workers: queues, tasks, and the broker's settings.

Services know tasks by **name** only; a test holds these names and the registered tasks together.
What is due is decided in Postgres. A message is only a hint that may be lost or come twice: it
carries a lease token, and a token that is spent finds nothing to do.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from services.errors import TransientError

if TYPE_CHECKING:
    from celery import Celery


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
QUEUES: Final = {queue.name: queue for queue in (CRAWL, MEDIA, LEARNING)}


@dataclass(frozen=True)
class Task:
    """What a worker is asked to do: the name it is registered by, and the queue it waits in."""

    name: str
    queue: Queue


DISPATCH: Final = Task("control.dispatch", CRAWL)
MAKE_PARTITIONS: Final = Task("control.make_partitions", CRAWL)
SEND_NOTIFICATIONS: Final = Task("control.send_notifications", CRAWL)
CONTROL: Final = (DISPATCH, MAKE_PARTITIONS, SEND_NOTIFICATIONS)
"""What keeps everything else going. Those of work and of jobs: ``services.work.kinds``."""

VISIBILITY_TIMEOUT_S = 12 * 3600
"""Longer than any task: an unacknowledged message is sent again after this time."""


def celery_config(redis_url: str) -> dict[str, Any]:
    """Return Celery's configuration, the same for those who send and those who work."""
    transport = {
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
        "worker_soft_shutdown_timeout": 10.0,
        "worker_enable_soft_shutdown_on_idle": True,
        "worker_hijack_root_logger": False,
        "worker_send_task_events": False,
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

    def __init__(self, redis_url: str) -> None:
        self._redis_url = redis_url

    def send(self, task: Task, *args: str, expires_s: float | None = None) -> None:
        """Send a task.

        Raises:
            KeyError: Its queue is not declared, so that nobody would ever take it.
            TransientError: The broker cannot be reached. Nothing is lost: what is due stays due.
        """
        try:
            self._producer.send_task(
                task.name,
                args=args,
                queue=task.queue.name,
                expires=expires_s,
                retry=True,
                retry_policy={"max_retries": 2, "interval_start": 0.2, "interval_step": 0.5},
            )
        except Exception as error:
            from kombu.exceptions import OperationalError  # noqa: PLC0415

            if isinstance(error, OperationalError | OSError):
                raise TransientError(
                    f"Redis cannot be reached: {error}",
                    reason="brokerUnreachable",
                    hint="check TUBEGRADER_REDIS_URL, or run `tubegrader doctor`",
                ) from error
            raise

    @cached_property
    def _producer(self) -> "Celery":
        from celery import Celery  # noqa: PLC0415

        app = Celery("tubegrader-producer", set_as_current=False)
        app.conf.update(celery_config(self._redis_url))
        return app
