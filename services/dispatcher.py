"""The process that hands out what is due: one of them at a time, however many run.

Each machine may run one. Whoever holds the office does the chores, each on a thread of its own; the
others stand by and take over within seconds when it dies, freezes or loses the database. Should one
that was frozen go on beside its successor, nothing is done twice: claims exclude each other.

Nobody can end a thread that hangs. A dispatcher whose chore takes too long gives up the office and
ends, saying which: another takes over, and whoever supervises this one starts it anew.
"""

import threading
import time
from collections.abc import Sequence
from datetime import timedelta

import structlog

from services.context import Context
from services.errors import TransientError, TubeGraderError
from services.metrics.instruments import CHORE_FAILURES, ELECTED
from services.metrics.instruments import CHORES as CHORE_SECONDS
from services.queue import DISPATCHER
from services.tick import CHORES, HAND_OUT, Chore
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
        self._began: dict[Chore, float] = {}
        """When each chore that is being done was begun."""
        self._told: set[Chore] = set()
        self._hung: Chore | None = None
        self._watched_at = time.monotonic()
        self._handed_out_at: float | None = None

    def is_alive(self) -> bool:
        """Tell whether it stands for election, as it should every second."""
        return time.monotonic() - self._stood_at < HANGING_S

    def late(self) -> tuple[str, timedelta] | None:
        """Return the chore that hangs, an essential one first, and how long ago it was begun."""
        found = self._late()
        return None if found is None else (found[0].name, found[1])

    def run(self, stop: threading.Event) -> None:
        """Stand for election until ``stop`` is set, and do the chores while elected.

        Raises:
            TransientError: An essential chore hangs (``choreHangs``); the office is given up.
        """
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
            self._watch()
        self._elected.clear()
        for thread in threads:
            if self._hung is None or thread.name != self._hung.name:
                thread.join(timeout=10)
        if self._hung is not None:
            raise TransientError(
                f"“{self._hung.name}” hangs",
                reason="choreHangs",
                hint="this dispatcher ends, so that another one, or itself started anew, goes on; "
                "if it comes again, see what PostgreSQL and Redis are busy with",
            )

    def _watch(self) -> None:
        """Tell of a chore that hangs, once; where that is essential, leave the office to others."""
        since, self._watched_at = self._watched_at, time.monotonic()
        # Who was frozen itself has watched nobody: the chores have yet to go on, too.
        found = self._late() if self._watched_at - since < FAILED_S else None
        if found is None or found[0] in self._told:
            return
        chore, took = found
        self._told.add(chore)
        log.warning("chore.hangs", chore=chore.name, seconds=round(took.total_seconds()))
        if chore.is_essential:
            self._hung = chore
            self._elected.clear()
            try:
                self._member.give_up()
            except TubeGraderError as error:
                log.warning("dispatcher.database_lost", problem=str(error))
            self._stop.set()

    def _late(self) -> tuple[Chore, timedelta] | None:
        now = time.monotonic()
        at_it = [(c, timedelta(seconds=now - began)) for c, began in [*self._began.items()]]
        late = [(chore, took) for chore, took in at_it if took > chore.longest]
        return max(late, key=lambda found: (found[0].is_essential, found[1]), default=None)

    def _stand(self) -> None:
        was = self._elected.is_set()
        self._stood_at = time.monotonic()
        try:
            holds = self._member.holds(DISPATCHER, done_ago=self._done_ago())
        except TubeGraderError as error:
            holds = False
            if was:
                log.warning("dispatcher.database_lost", problem=str(error))
        if holds != was:
            log.info("dispatcher.elected" if holds else "dispatcher.stands_by")
        ELECTED.set(float(holds))
        if holds:
            self._elected.set()
        else:
            self._elected.clear()

    def _done_ago(self) -> timedelta | None:
        """Return how long ago this one handed out what was due; None if it never did."""
        at = self._handed_out_at
        return None if at is None else timedelta(seconds=time.monotonic() - at)

    def _repeat(self, chore: Chore) -> None:
        structlog.contextvars.bind_contextvars(chore=chore.name)
        while not self._stop.is_set():
            # With a limit, so that the end is noticed by who stands by.
            if self._elected.wait(RENEW_S) and not self._stop.is_set():
                began = time.monotonic()
                is_done = self._do(chore)
                pause_s = chore.pause_s(time.monotonic() - began)
                self._stop.wait(pause_s if is_done else min(pause_s, FAILED_S))

    def _do(self, chore: Chore) -> bool:
        started = self._began[chore] = time.monotonic()
        try:
            outcome = chore.do(self._context)
        except TubeGraderError as error:
            # The database or the broker is away: what is due is still due in a second.
            CHORE_FAILURES.add(1, chore.name, error.reason)
            log.warning("chore.failed", reason=error.reason, problem=str(error))
        except Exception:
            CHORE_FAILURES.add(1, chore.name, "defect")
            log.exception("chore.crashed")
        else:
            if chore.name == HAND_OUT:
                self._handed_out_at = time.monotonic()
            took_s = time.monotonic() - started
            CHORE_SECONDS.observe(took_s, chore.name)
            if outcome:
                log.info("chore.done", outcome=outcome, seconds=round(took_s, 3))
            return True
        finally:
            if chore is not self._hung:
                del self._began[chore]
                self._told.discard(chore)
        return False
