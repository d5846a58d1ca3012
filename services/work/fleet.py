"""This process among all that work on one database: it tells that it lives, and who dispatches.

What others see of it is a row with the database's own moments, so that a machine whose clock is
wrong looks neither dead nor alive by mistake.
"""

import importlib.metadata
import os
import secrets
import socket
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import structlog

from db.queries.work import fleet as rows
from services.context import Context
from services.errors import TubeGraderError

log = structlog.get_logger()

TERM = timedelta(seconds=5)
"""So long nobody dispatches after a dispatcher died without a word; it renews every second."""
BEAT_S = 10.0
SILENT = timedelta(seconds=45)
"""Whoever was not heard of for so long counts as gone."""
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
        silent_s: Seconds since it was last heard of.
        is_elected: Whether it is the dispatcher that hands out work now.
    """

    name: str
    role: str
    host: str
    pid: int
    version: str
    started_at: datetime
    silent_s: float
    is_elected: bool

    @property
    def is_alive(self) -> bool:
        """Whether it was heard of lately."""
        return self.silent_s < SILENT.total_seconds()

    def as_json(self) -> dict[str, Any]:
        """Return plain values for ``--json``."""
        return {
            **asdict(self),
            "started_at": self.started_at.isoformat(),
            "is_alive": self.is_alive,
        }


def listed(context: Context) -> list[ProcessView]:
    """Return the processes that were heard of within a day, by role."""
    with context.transaction() as session:
        return [
            ProcessView(
                p.process_name, p.role, p.host, p.pid, p.version, p.started_at, silent_s, elected
            )
            for p, silent_s, elected in rows.seen(session)
        ]


class Member:
    """One process of the fleet, from its start to its end."""

    def __init__(
        self,
        context: Context,
        role: str,
        *,
        alive: Callable[[], bool] = lambda: True,
        ready_file: Path | None = None,
    ) -> None:
        """Make a member that is not heard of yet.

        Args:
            context: The database.
            role: What it does.
            alive: Whether it does it: while not, it keeps silent.
            ready_file: Touched with every beat, for a health check on this machine, whether or not
                the database answers: who only waits for that is well.
        """
        self.host, self.pid = socket.gethostname(), os.getpid()
        self.role = role
        # Containers may share a host's name, and each has a process 1.
        self.name = f"{role}@{self.host}:{self.pid}/{secrets.token_hex(3)}"
        self._context = context
        self._alive = alive
        self._ready_file = ready_file
        self._version = importlib.metadata.version("tubegrader")
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat_on, name="heartbeat", daemon=True)

    def join(self) -> None:
        """Be heard of from now on, from a thread."""
        self._thread.start()

    def leave(self) -> None:
        """End the heartbeat, and give up what it holds, so that nobody waits for this one."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(timeout=BEAT_S)
        try:
            with self._context.transaction() as session:
                rows.leave(session, self.name)
        except TubeGraderError as error:
            log.warning("fleet.left_without_a_word", problem=str(error))

    def holds(self, office: str, *, term: timedelta = TERM) -> bool:
        """Tell whether this one holds an office; it takes it where nobody else does.

        Raises:
            InfrastructureError: The database is away or busy.
        """
        with self._context.transaction() as session:
            return rows.elect(session, office, self.name, term=term)

    def beat(self) -> None:
        """Be heard of once.

        Raises:
            InfrastructureError: The database is away or busy.
        """
        with self._context.transaction() as session:
            rows.beat(
                session,
                self.name,
                role=self.role,
                host=self.host,
                pid=self.pid,
                version=self._version,
            )

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
