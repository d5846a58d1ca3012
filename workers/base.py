"""What every task has in common: the task id in each log line, and how it ended."""

import functools
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import structlog

from services.metrics.instruments import TASKS
from workers.app import app

log = structlog.get_logger()

P = ParamSpec("P")
R = TypeVar("R")


def task(name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Register a function as a task; bind its name and id to the log; log what came of it.

    Expected errors never leave a service: they are rows by then. What arrives here is a defect
    or a lost database, so it is logged with its trace; leases bring the work back.
    """

    def register(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def logged(*args: P.args, **kwargs: P.kwargs) -> R:
            structlog.contextvars.clear_contextvars()
            structlog.contextvars.bind_contextvars(task=name, args=args)
            started = time.monotonic()
            try:
                outcome = function(*args, **kwargs)
            except Exception:
                seconds = time.monotonic() - started
                TASKS.observe(seconds, name, "crashed")
                log.exception("task.crashed", seconds=round(seconds, 3))
                raise
            TASKS.observe(time.monotonic() - started, name, "done")
            # Ticks with nothing to do would drown the rest.
            if outcome:
                log.info("task.done", outcome=outcome, seconds=round(time.monotonic() - started, 3))
            return outcome

        registered: Callable[P, R] = app.task(name=name)(logged)
        return registered

    return register
