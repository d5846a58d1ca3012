"""Asking models beside the server: in one process that stays warm, started when first asked."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, ProcessPoolExecutor
from concurrent.futures import TimeoutError as TookTooLongError
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import TypeVar

from services.api import grading_process, hearing
from services.api.grading_process import Graded
from services.api.hearing import Heard
from services.api.problems import Problem, problem
from services.settings import Settings

Answer = TypeVar("Answer")
MOST_WAITING = 4
"""Requests at a time, the one that is graded among them; whoever comes then is told to wait."""
LONGEST_S = 300.0
IDLE_S = 900.0
"""After so long without a request the process and its memory are given back."""


class WarmGrader:
    """Grades pictures and listens to files for requests, one after the other."""

    def __init__(self, settings: Settings) -> None:
        """Remember what to work with; nothing is started yet."""
        self._settings = settings
        self._pool: ProcessPoolExecutor | None = None
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        """Who has it is graded now, and alone may lose the process."""
        self._places = threading.BoundedSemaphore(MOST_WAITING)
        self._idle: threading.Timer | None = None

    def grade(
        self,
        pictures: Sequence[tuple[str, bytes]],
        *,
        channel: str | None,
        subscribers: int | None,
    ) -> Graded | Problem:
        """Grade pictures; a problem where that cannot be done."""
        return self._in_turn(grading_process.grade, pictures, channel, subscribers)

    def hear(self, name: str, content: bytes) -> Heard | Problem:
        """Tell the language of a file; a problem where that cannot be done."""
        return self._in_turn(hearing.hear, name, content)

    def _in_turn(
        self, work: Callable[..., Answer | Problem], *arguments: object
    ) -> Answer | Problem:
        if not self._places.acquire(blocking=False):
            return problem(503, "others are being graded", "busy", hint="try again soon")
        try:
            with self._turn:
                return self._done(work, *arguments)
        finally:
            self._places.release()
            self._rest()

    def _done(self, work: Callable[..., Answer | Problem], *arguments: object) -> Answer | Problem:
        try:
            return self._ready().submit(work, *arguments).result(LONGEST_S)
        except TookTooLongError:
            self.close()
            return problem(503, f"it took more than {LONGEST_S:.0f} s", "tookTooLong")
        except (BrokenProcessPool, CancelledError):
            self.close()
            return problem(
                503,
                "the process that grades ended",
                "graderDied",
                hint="try again; `tubegrader doctor` tells whether memory is short",
            )

    def close(self) -> None:
        """End the process, at once; the next request starts another."""
        with self._lock:
            pool, self._pool = self._pool, None
            if self._idle is not None:
                self._idle.cancel()
        if pool is not None:
            for process in list((pool._processes or {}).values()):  # noqa: SLF001 - 3.14 has kill_workers
                process.kill()
            pool.shutdown(wait=False, cancel_futures=True)

    def _close_idle(self) -> None:
        if self._turn.acquire(blocking=False):
            try:
                self.close()
            finally:
                self._turn.release()

    def _ready(self) -> ProcessPoolExecutor:
        with self._lock:
            if self._idle is not None:
                self._idle.cancel()
            if self._pool is None:
                self._pool = ProcessPoolExecutor(
                    1,
                    mp_context=get_context("spawn"),
                    initializer=grading_process.begin,
                    initargs=(self._settings,),
                )
            return self._pool

    def _rest(self) -> None:
        with self._lock:
            if self._idle is not None:
                self._idle.cancel()
            self._idle = threading.Timer(IDLE_S, self._close_idle)
            self._idle.daemon = True
            self._idle.start()
