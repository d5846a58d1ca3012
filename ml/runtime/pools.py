"""Threads that live as long as the process: one pool that decodes, one that computes.

A pool for each handful of pictures costs a thread's start each time, and memory that the allocator
keeps for every thread there ever was. These are as wide as the cores that the process may use.
"""

import atexit
import logging
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import cache, partial
from pathlib import Path
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
_QUOTA = Path("/sys/fs/cgroup/cpu.max")
_QUOTA_V1 = (
    Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"),
    Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us"),
)
_log = logging.getLogger(__name__)


def cores() -> int:
    """Return how many cores this process may use: by its affinity and its container's quota."""
    if hasattr(os, "sched_getaffinity"):
        allowed = len(os.sched_getaffinity(0))
    else:
        allowed = os.cpu_count() or 1
    return max(1, min(allowed, _quota() or allowed))


def _quota() -> int | None:
    """Return the cores that a container's quota amounts to, rounded up; None without one."""
    try:
        if _QUOTA.exists():
            quota, period = _QUOTA.read_text().split()
        else:
            quota, period = (path.read_text().strip() for path in _QUOTA_V1)
        return -(-int(quota) // int(period)) if int(quota) > 0 else None
    except (OSError, ValueError):
        return None  # no such group, or "max"


class Pool:
    """A fixed number of threads for short tasks; a task may give it tasks in turn.

    A forked process begins with a pool of its own: threads do not survive a fork.
    """

    def __init__(self, name: str, width: int) -> None:
        self.width = width
        self._name = name
        self._inside = threading.local()
        self._guard = threading.Lock()
        self._executor: ThreadPoolExecutor | None = None
        self._process = 0

    def run(self, tasks: Sequence[Callable[[], Result]]) -> list[Result]:
        """Run tasks at the same time and return their results in order.

        Raises:
            Exception: What the first failing task raised, once all have ended.
        """
        if getattr(self._inside, "here", False) or len(tasks) == 1:
            # All threads might be waiting for such tasks; and one needs no other thread.
            return [task() for task in tasks]
        started = [self.submit(task) for task in tasks]
        wait(started)
        return [future.result() for future in started]

    def submit(self, task: Callable[[], Result]) -> "Future[Result]":
        """Begin one task."""
        return self._open().submit(task)

    def each(self, do: Callable[[Item], object], items: Iterable[Item], *, width: int = 0) -> None:
        """Call a function with each item, from at most ``width`` threads; 0: all of them.

        Raises:
            Exception: What the first call failed with; the others of its thread are left out.
        """
        listed = list(items)
        shares = min(width or self.width, self.width, len(listed))

        def share(start: int) -> None:
            for item in listed[start::shares]:
                do(item)

        self.run([partial(share, start) for start in range(shares)])

    def close(self) -> None:
        """Wait for what runs and end the threads; what comes later starts new ones."""
        with self._guard:
            if self._executor is not None and self._process == os.getpid():
                self._executor.shutdown()
            self._executor = None

    def _open(self) -> ThreadPoolExecutor:
        with self._guard:
            if self._executor is None or self._process != os.getpid():
                self._process = os.getpid()
                self._executor = ThreadPoolExecutor(
                    self.width, thread_name_prefix=self._name, initializer=self._enter
                )
                _log.info("a pool of %d threads to %s", self.width, self._name)
            return self._executor

    def _enter(self) -> None:
        self._inside.here = True


@cache
def decoding() -> Pool:
    """Return the process's pool for decoding pictures."""
    return _kept(Pool("decode", cores()))


@cache
def computing() -> Pool:
    """Return the process's pool for networks and measurements, one thread a task."""
    return _kept(Pool("compute", cores()))


def _kept(pool: Pool) -> Pool:
    atexit.register(pool.close)
    return pool
