"""The process that hands out what is due: one of them at a time, however many run.

Each machine may run one. Whoever holds the office does the chores, each on a thread of its own; the
others stand by and take over within seconds when it dies, freezes or loses the database. Should one
that was frozen go on beside its successor, nothing is done twice: claims exclude each other.
"""

import threading
import time
from collections.abc import Sequence

import structlog

from services.context import Context
from services.errors import TubeGraderError
from services.queue import DISPATCHER
from services.tick import CHORES, Chore
from services.work import fleet

log = structlog.get_logger()

RENEW_S = 1.0
FAILED_S = 10.0
"""After so long a chore that failed is tried again."""
HANGING_S = 60.0


class Dispatcher:
    """One dispatcher, elected or standing by."""

    def __init__(
        self, context: Context, member: fleet.Member, chores: Sequence[Chore] = CHORES
    ) -> None:
        """Make one that does nothing yet.

        Args:
            context: What the chores work with.
            member: This process.
            chores: What is done by whoever is elected.
        """
        self._context = context
        self._member = member
        self._chores = chores
        self._elected = threading.Event()
        self._stop = threading.Event()
        self._stood_at = time.monotonic()

    def is_alive(self) -> bool:
        """Tell whether it stands for election, as it should every second."""
        return time.monotonic() - self._stood_at < HANGING_S

    def run(self, stop: threading.Event) -> None:
        """Stand for election until ``stop`` is set, and do the chores while elected."""
        self._stop = stop
        threads = [
            threading.Thread(target=self._repeat, args=(chore,), name=chore.name, daemon=True)
            for chore in self._chores
        ]
        for thread in threads:
            thread.start()
        while not stop.is_set():
            self._stand()
            stop.wait(RENEW_S)
        self._elected.clear()
        for thread in threads:
            thread.join(timeout=10)

    def _stand(self) -> None:
        was = self._elected.is_set()
        self._stood_at = time.monotonic()
        try:
            holds = self._member.holds(DISPATCHER)
        except TubeGraderError as error:
            holds = False
            if was:
                log.warning("dispatcher.database_lost", problem=str(error))
        if holds != was:
            log.info("dispatcher.elected" if holds else "dispatcher.stands_by")
        if holds:
            self._elected.set()
        else:
            self._elected.clear()

    def _repeat(self, chore: Chore) -> None:
        structlog.contextvars.bind_contextvars(chore=chore.name)
        while not self._stop.is_set():
            # With a limit, so that the end is noticed by who stands by.
            if self._elected.wait(RENEW_S) and not self._stop.is_set():
                pause_s = chore.every.total_seconds()
                self._stop.wait(pause_s if self._do(chore) else min(pause_s, FAILED_S))

    def _do(self, chore: Chore) -> bool:
        started = time.monotonic()
        try:
            outcome = chore.do(self._context)
        except TubeGraderError as error:
            # The database or the broker is away: what is due is still due in a second.
            log.warning("chore.failed", reason=error.reason, problem=str(error))
        except Exception:
            log.exception("chore.crashed")
        else:
            if outcome:
                seconds = round(time.monotonic() - started, 3)
                log.info("chore.done", outcome=outcome, seconds=seconds)
            return True
        return False
