"""A worker of the fleet: it is heard of for as long as its event loop turns."""

import os
import time
from pathlib import Path
from typing import Any

from celery import bootsteps
from celery.signals import worker_shutdown

from services.context import Context
from services.queue import SCORING
from services.work import fitness
from services.work.fleet import Member, new_name

EVERY_S = 5.0
HANGING_S = 60.0


class Pulse(bootsteps.StartStopStep):  # type: ignore[misc]
    """Has the consumer's own event loop say that it turns; a thread that tells others listens."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **options: Any) -> None:
        """Make the step of a consumer."""
        super().__init__(consumer, **options)
        self._turned_at = time.monotonic()
        self._timer: Any = None
        self._member: Member | None = None
        self._scores = False

    def start(self, consumer: Any) -> None:
        """Begin, or go on after the broker was lost."""
        self._turn()
        self._timer = consumer.timer.call_repeatedly(EVERY_S, self._look, (consumer,))
        if self._member is None:
            self._scores = takes_shards(consumer)
            ready = os.environ.get("TUBEGRADER_READY_FILE")
            self._member = Member(
                context_of(consumer),
                role_of(consumer.app),
                alive=self.is_alive,
                ready_file=None if ready is None else Path(ready),
                name=os.environ.get(fitness.PROCESS),
            )
            self._member.join()
            worker_shutdown.connect(self._leave, weak=False)

    def stop(self, _consumer: Any) -> None:
        """Stop while the broker is away."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def is_alive(self) -> bool:
        """Tell whether the loop turns, or does not because it waits for the broker.

        What runs in the pool goes on meanwhile, and to start the worker anew would only end it.
        """
        return self._timer is None or time.monotonic() - self._turned_at < HANGING_S

    def _look(self, consumer: Any) -> None:
        """Take shards while this machine lacks nothing for them, and none otherwise."""
        self._turn()
        fit = self._member is None or self._member.is_fit
        if not self._scores or fit == takes_shards(consumer):
            return
        if fit:
            consumer.add_task_queue(SCORING.name)
        else:
            consumer.cancel_task_queue(SCORING.name)

    def _turn(self) -> None:
        self._turned_at = time.monotonic()

    def _leave(self, **_: Any) -> None:
        if self._member is not None:
            self._member.leave()


def name_process(sender: Any, **_: Any) -> None:
    """Choose the name that a worker is heard of under, before the processes of its pool begin."""
    os.environ[fitness.PROCESS] = new_name(role_of(sender.app))


def role_of(app: Any) -> str:
    """Return what a worker is heard of as: the queues that it takes from."""
    return ",".join(sorted(app.amqp.queues.consume_from))


def takes_shards(consumer: Any) -> bool:
    """Tell whether a worker takes what waits in the queue of scoring."""
    return SCORING.name in consumer.app.amqp.queues.consume_from


def context_of(consumer: Any) -> Context:
    """Return what an application's tasks work with."""
    found = consumer.app.tubegrader
    assert isinstance(found, Context), "workers.app sets it"
    return found
