"""The supervisor, a process in the background: ``python -m services.embedded.supervise``.

It keeps worker processes and the embedded servers running. It ends when told to, or once nobody
uses the home any more; so nothing outlives a command that was killed. For ``tubegrader up
--detach`` it is itself recorded as a user.
"""

import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from types import FrameType
from typing import TYPE_CHECKING

from services.embedded import holders, workers
from services.embedded.endpoints import Endpoints
from services.embedded.home import Home
from services.embedded.identity import ProcessId
from services.embedded.lifecycle import running_servers, start_servers, stop_servers
from services.embedded.logs import rotate_written
from services.embedded.processes import Family, ProcessSpec
from services.errors import TubeGraderError

if TYPE_CHECKING:
    from services.settings import Settings

SpecsFor = Callable[["Settings", Endpoints], Sequence[ProcessSpec]]

_TICK_S = 0.1
_SERVERS_EVERY_S = 1.0
_SERVERS = ("postgres", "redis", workers.SUPERVISOR)
"""Whose logs are written by nobody of the family."""


def main() -> int:
    """Supervise the home that the environment names; return the exit code."""
    from services.settings import Settings

    # Started in the background by a shell, which had these ignored; our children should not.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    stop = threading.Event()

    def ask_to_stop(_signum: int, _frame: FrameType | None) -> None:
        stop.set()

    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(signum, ask_to_stop)
    try:
        supervise(Settings(), workers.process_specs, stop=stop)
    except TubeGraderError as error:
        print(error, error.hint or "", sep="\n", file=sys.stderr)
        return 1
    return 0


def supervise(settings: "Settings", specs_for: SpecsFor, *, stop: threading.Event) -> None:
    """Keep the servers and the processes of a home running until ``stop`` is set.

    Returns at once if the home has a supervisor already.

    Args:
        settings: The home, and the parts that replace its own.
        specs_for: Gives the processes to run for the endpoints; called again when those move.
        stop: Ends it.
    """
    home = Home(settings.home)
    home.create()
    with home.try_lock("supervisor.lock") as alone:
        if not alone:
            return
        try:
            Supervisor(home, settings, specs_for).run(stop)
        finally:
            _leave(home)


class Supervisor:
    """One run of the supervisor, with its lock held."""

    def __init__(self, home: Home, settings: "Settings", specs_for: SpecsFor) -> None:
        self._home = home
        self._settings = settings
        self._specs_for = specs_for
        self._process = ProcessId.current()
        self._since = time.time()
        self._endpoints: Endpoints | None = None
        self._family = Family(home, [])
        self._servers_due = 0.0

    def run(self, stop: threading.Event) -> None:
        """Run until ``stop`` is set or nobody uses the home any more."""
        self._record("starting")
        try:
            while not stop.wait(_TICK_S) and holders.living(self._home):
                if time.monotonic() >= self._servers_due:
                    self._check_servers()
                    self._rotate_logs()
                    self._servers_due = time.monotonic() + _SERVERS_EVERY_S
                if self._family.tick():
                    self._record("running")
        finally:
            self._record("stopping")
            self._family.stop()
            self._home.drop_state(workers.SUPERVISOR)

    def _rotate_logs(self) -> None:
        try:
            self._family.rotate_logs()
            for name in _SERVERS:
                rotate_written(self._home.log(name))
        except OSError as error:
            _log(f"logs cannot be moved aside: {error}")

    def _check_servers(self) -> None:
        """Start again a server that died; move the processes along when its address changed."""
        if self._endpoints and running_servers(self._home, self._settings) == self._endpoints:
            return
        with self._home.try_lock() as held:
            if not held:  # somebody starts or stops something: look again later
                return
            try:
                endpoints = start_servers(self._home, self._settings)
            except TubeGraderError as error:
                _log(str(error))
                return
        if endpoints != self._endpoints:
            self._family.stop()
            self._endpoints = endpoints
            specs = self._specs_for(self._settings, endpoints)
            self._family = Family(self._home, specs, report=_log)
            self._family.start()
            self._record("running")

    def _record(self, phase: str) -> None:
        self._home.write_state(
            workers.SUPERVISOR,
            {
                "process": self._process.as_json(),
                "phase": phase,
                "since": self._since,
                "settings": workers.fingerprint(self._settings),
                "processes": self._family.record(),
            },
        )


def _log(text: str) -> None:
    """Write to the supervisor's log, which is where its output goes."""
    moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    print(f"{moment} {text}", flush=True)


def _leave(home: Home) -> None:
    """Stop being a user, and stop the servers if that was the last."""
    me = ProcessId.current()
    while True:
        with home.try_lock() as held:
            if held:
                for holder in holders.of_process(home, me):
                    holders.release(holder)
                if not holders.living(home):
                    stop_servers(home)
                return
        # Whoever has the lock may be waiting for our end, and then deals with the servers itself.
        if not holders.of_process(home, me):
            return
        time.sleep(_TICK_S)


if __name__ == "__main__":
    sys.exit(main())
