"""This process among all that work on one database: it tells that it lives, and who dispatches.

What others see of it is a row with the database's own moments, so that a machine whose clock is
wrong looks neither dead nor alive by mistake.
"""

import importlib.metadata
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy.orm import Session

from db.queries.work import fleet as rows
from services.context import Context
from services.errors import TubeGraderError
from services.queue import Queue

log = structlog.get_logger()

TERM = timedelta(seconds=5)
"""So long nobody dispatches after a dispatcher died without a word; it renews every second."""
BEAT_S = 10.0
SILENT = rows.SILENT
FORGOTTEN = timedelta(days=1)


@dataclass(frozen=True)
class ProcessView:
    """A process of the fleet as a front door shows it.

    Attributes:
        name: ``role@host:pid/random``.
        role: ``dispatcher``, or the queue that it works on.
        host: Its machine's or container's name.
        pid: Its number there.
        version: Of TubeGrader.
        started_at: In UTC.
        seen_at: When it was last heard of, in UTC.
        silent_s: Seconds since it was last heard of.
        is_elected: Whether it is the dispatcher that hands out work now.
        late_chore: What a dispatcher began and has not ended for too long, if anything.
        late_since: When it began that.
        unfit_reason: What its machine lacks for the work it is sent, by a stable word.
        unfit_message: The same in words.
        unfit_until: It takes nothing of that before then, and tries again.
        unfit_models: The models that it lacks that for; None: whatever it is to do.
        is_fit: Whether it takes work now, as far as its machine goes.
        lacks: Whether ``unfit_until`` is still to come.
    """

    name: str
    role: str
    host: str
    pid: int
    version: str
    started_at: datetime
    seen_at: datetime
    silent_s: float
    is_elected: bool
    late_chore: str | None = None
    late_since: datetime | None = None
    unfit_reason: str | None = None
    unfit_message: str | None = None
    unfit_until: datetime | None = None
    unfit_models: Sequence[int] | None = None
    is_fit: bool = True
    lacks: bool = False

    @property
    def is_alive(self) -> bool:
        """Whether it was heard of lately."""
        return self.silent_s < SILENT.total_seconds()

    @property
    def lateness(self) -> str | None:
        """What hangs, or hung when it was last heard of, in words; None if nothing does."""
        if self.late_chore is None or self.late_since is None:
            return None
        what = "has been at" if self.is_alive else "is gone, and had been at"
        since = f"{self.late_since:%Y-%m-%d %H:%M} UTC"
        return f"{self.role} on {self.host} {what} “{self.late_chore}” since {since}"

    @property
    def unfitness(self) -> str | None:
        """What its machine lacks, in words; None if nothing is known to be lacking."""
        if not self.lacks or self.unfit_until is None or not self.is_alive:
            return None
        what = "can do none of it"
        if self.unfit_models is not None:
            what = f"cannot score with models {', '.join(map(str, self.unfit_models))}"
        again = f"; tries again at {self.unfit_until:%H:%M} UTC"
        return f"{self.role} on {self.host} {what}: {self.unfit_message}{again}"

    def can_score(self, models: Collection[int]) -> bool:
        """Tell whether it is known to lack nothing that models need."""
        return not self.lacks or (
            self.unfit_models is not None and not {*self.unfit_models} & {*models}
        )

    def as_json(self) -> dict[str, Any]:
        """Return plain values for ``--json``."""
        plain = {
            k: v.isoformat() if isinstance(v, datetime) else v for k, v in asdict(self).items()
        }
        return {**plain, "is_alive": self.is_alive}


def listed(context: Context) -> list[ProcessView]:
    """Return the processes that were heard of within a day, by role."""
    with context.transaction() as session:
        return seen(session)


def seen(session: Session) -> list[ProcessView]:
    """Return what :func:`listed` returns, in a unit of work that is open."""
    return [
        ProcessView(
            name=p.process_name,
            role=p.role,
            host=p.host,
            pid=p.pid,
            version=p.version,
            started_at=p.started_at,
            seen_at=p.seen_at,
            silent_s=silent_s,
            is_elected=elected,
            late_chore=p.late_chore,
            late_since=p.late_since,
            unfit_reason=p.unfit_reason,
            unfit_message=p.unfit_message,
            unfit_until=p.unfit_until,
            unfit_models=p.unfit_models,
            is_fit=is_fit,
            lacks=lacks,
        )
        for p, silent_s, elected, is_fit, lacks in rows.seen(session)
    ]


def workers_of(session: Session, queue: Queue) -> int:
    """Return how many workers of a queue are alive, and take its work."""
    return rows.count_heard(session, queue.name)


def unfit_of(session: Session, queue: Queue) -> int:
    """Return how many workers of a queue are alive and take nothing: their machines lack it."""
    return rows.count_unfit(session, queue.name)


def is_beyond_all(session: Session, queue: Queue, models: Sequence[int]) -> bool:
    """Tell whether workers of a queue are alive, and all of them lack what models need."""
    return rows.is_beyond_all(session, queue.name, models)


def new_name(role: str) -> str:
    """Return the name of a process of this machine that is heard of from now on."""
    # Containers may share a host's name, and each has a process 1.
    return f"{role}@{socket.gethostname()}:{os.getpid()}/{secrets.token_hex(3)}"


class Member:
    """One process of the fleet, from its start to its end."""

    def __init__(
        self,
        context: Context,
        role: str,
        *,
        alive: Callable[[], bool] = lambda: True,
        late: Callable[[], tuple[str, timedelta] | None] = lambda: None,
        ready_file: Path | None = None,
        name: str | None = None,
    ) -> None:
        """Make a member that is not heard of yet.

        Args:
            context: The database.
            role: What it does.
            alive: Whether it does it: while not, it keeps silent.
            late: What it has been at for too long, and for how long.
            ready_file: Touched with every beat, for a health check on this machine, whether or not
                the database answers: who only waits for that is well.
            name: Of :func:`new_name`, where others are told it before.
        """
        self.host, self.pid = socket.gethostname(), os.getpid()
        self.role = role
        self.name = name or new_name(role)
        self._unfit_until = 0.0
        self._context = context
        self._alive = alive
        self._late = late
        self._ready_file = ready_file
        self._version = importlib.metadata.version("tubegrader")
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat_on, name="heartbeat", daemon=True)

    def join(self) -> None:
        """Be heard of from now on, from a thread."""
        self._thread.start()

    def leave(self) -> None:
        """End the heartbeat, and give up what it holds, so that nobody waits for this one.

        It is forgotten at once, unless something hangs: that is to be seen afterwards.
        """
        self._ended.set()
        try:
            if self._late() is not None:
                self.give_up()
                return
            if self._thread.is_alive():
                self._thread.join(timeout=BEAT_S)
            with self._context.transaction() as session:
                rows.leave(session, self.name)
        except TubeGraderError as error:
            log.warning("fleet.left_without_a_word", problem=str(error))

    def holds(
        self, office: str, *, term: timedelta = TERM, done_ago: timedelta | None = None
    ) -> bool:
        """Tell whether this one holds an office; it takes it where nobody else does.

        Args:
            office: Which.
            term: For how long.
            done_ago: How long ago it did what the office is for; None: it did not yet.

        Raises:
            InfrastructureError: The database is away or busy.
        """
        with self._context.transaction() as session:
            return rows.elect(session, office, self.name, term=term, done_ago=done_ago)

    def give_up(self) -> None:
        """Give up every office at once, and note what hangs.

        Raises:
            InfrastructureError: The database is away or busy.
        """
        self.beat()
        with self._context.transaction() as session:
            rows.give_up(session, self.name)

    @property
    def is_fit(self) -> bool:
        """Whether it may take work, as far as its last beat heard."""
        return time.monotonic() >= self._unfit_until

    def beat(self) -> None:
        """Be heard of once.

        Raises:
            InfrastructureError: The database is away or busy.
        """
        with self._context.transaction() as session:
            unfit_s = rows.beat(
                session,
                self.name,
                role=self.role,
                host=self.host,
                pid=self.pid,
                version=self._version,
                late=self._late(),
            )
        self._unfit_until = time.monotonic() + unfit_s

    def _beat_on(self) -> None:
        while True:
            try:
                self._beat_if_alive()
            except TubeGraderError as error:
                log.warning("fleet.not_heard", problem=str(error))
            except Exception:
                # Without this thread a process that works counts as dead until it ends.
                log.exception("fleet.beat_crashed")
            if self._ended.wait(BEAT_S):
                return

    def _beat_if_alive(self) -> None:
        if self._alive():
            if self._ready_file is not None:
                self._ready_file.touch()
            self.beat()


def forget_silent(context: Context) -> int:
    """Forget processes that ended without a word long ago; return how many there were."""
    with context.transaction() as session:
        return rows.forget_silent(session, after=FORGOTTEN)
