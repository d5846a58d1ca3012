"""A worker of the fleet: it is heard of for as long as its event loop turns."""

import os
import time
from pathlib import Path
from typing import Any

from celery import bootsteps
from celery.signals import worker_shutdown

from services.context import Context
from services.work.fleet import Member

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

    def start(self, consumer: Any) -> None:
        """Begin, or go on after the broker was lost."""
        self._turn()
        self._timer = consumer.timer.call_repeatedly(EVERY_S, self._turn)
        if self._member is None:
            ready = os.environ.get("TUBEGRADER_READY_FILE")
            self._member = Member(
                context_of(consumer),
                ",".join(sorted(consumer.app.amqp.queues.consume_from)),
                alive=self.is_alive,
                ready_file=None if ready is None else Path(ready),
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

    def _turn(self) -> None:
        self._turned_at = time.monotonic()

    def _leave(self, **_: Any) -> None:
        if self._member is not None:
            self._member.leave()


def context_of(consumer: Any) -> Context:
    """Return what an application's tasks work with."""
    found = consumer.app.tubegrader
    assert isinstance(found, Context), "workers.app sets it"
    return found
