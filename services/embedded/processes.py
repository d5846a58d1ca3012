"""A family of child processes that is kept running, and stopped to the last one."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from services.embedded.home import Home
from services.embedded.identity import ProcessId
from services.embedded.logs import log_size, rotate, rotate_written, tail

MARK = "TUBEGRADER_SUPERVISED"
"""Environment variable that every process started here, and all its children, carry."""
READY_FILE = "TUBEGRADER_READY_FILE"
"""Environment variable that names the file by which a process says that it is ready."""

_QUICK_DEATH_S = 5.0
_QUICK_DEATHS = 5
_FIRST_DELAY_S = 0.25
_LONGEST_DELAY_S = 30.0
_POLL_S = 0.05


class ProcessState(StrEnum):
    """Where a process of the family is in its life."""

    STARTING = "starting"
    UP = "up"
    RESTARTING = "restarting"
    FAILED = "failed"
    DOWN = "down"


@dataclass(frozen=True)
class ProcessSpec:
    """What to run.

    Attributes:
        name: Also names its log.
        argv: Program and arguments.
        env: Added to this process's environment.
        grace_s: Seconds between SIGTERM and SIGKILL.
    """

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    grace_s: float = 15.0


@dataclass
class _Child:
    spec: ProcessSpec
    state: ProcessState = ProcessState.DOWN
    popen: "subprocess.Popen[bytes] | None" = None
    process: ProcessId | None = None
    since: float = 0.0
    started: float = 0.0
    log_start: int = 0
    restarts: int = 0
    quick_deaths: int = 0
    restart_at: float = 0.0
    message: str = ""


class Family:
    """Starts processes, starts them again when they die, and stops them.

    Nothing happens by itself: the owner calls `tick` a few times a second, and writes down
    `record` whenever something changed, so that what runs can be stopped after the owner was
    killed. ``report`` is told of each death, in words.
    """

    def __init__(
        self,
        home: Home,
        specs: Sequence[ProcessSpec],
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._home = home
        self._report = report
        self._children = [_Child(spec) for spec in specs]

    def start(self) -> None:
        """Start every process that is not running."""
        for child in self._children:
            if child.popen is None:
                self._start(child)

    def tick(self) -> bool:
        """Notice deaths and readiness, restart what is due; say whether anything changed."""
        changed = [self._tick(child) for child in self._children]
        return any(changed)

    def rotate_logs(self) -> None:
        """Move what has grown large in the logs aside, while it is written."""
        for child in self._children:
            if rotate_written(self._home.log(child.spec.name)):
                child.log_start = 0

    def stop(self) -> None:
        """Ask all to finish, kill those that have not within their grace, and their children."""
        running = [child for child in self._children if child.popen is not None]
        for child in running:
            assert child.popen is not None
            # Not Popen.terminate, which may reap it: see _bury.
            os.kill(child.popen.pid, signal.SIGTERM)
        began = time.monotonic()
        for child in running:
            while not _is_dead(child.popen) and time.monotonic() - began < child.spec.grace_s:
                time.sleep(_POLL_S)
            self._bury(child)
        for child in self._children:
            child.state = ProcessState.DOWN

    def record(self) -> dict[str, dict[str, Any]]:
        """Return what is known of each process, by name, for JSON."""
        return {
            child.spec.name: {
                "process": child.process.as_json() if child.process else None,
                "state": child.state.value,
                "since": child.since,
                "restarts": child.restarts,
                "message": child.message,
            }
            for child in self._children
        }

    def _start(self, child: _Child) -> None:
        log = self._home.log(child.spec.name)
        ready = self._ready_file(child)
        ready.unlink(missing_ok=True)
        rotate(log)
        child.log_start = log_size(log)
        env = {
            **os.environ,
            "PYTHONUNBUFFERED": "1",
            **child.spec.env,
            MARK: mark(self._home, child.spec.name),
            READY_FILE: str(ready),
        }
        child.since, child.started = time.time(), time.monotonic()
        with log.open("ab") as output:
            try:
                child.popen = subprocess.Popen(
                    list(child.spec.argv),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    cwd=self._home.run,
                    env=env,
                    # A Ctrl-C at the terminal is for us alone, and the group can be killed whole.
                    start_new_session=True,
                )
            except OSError as error:
                output.write(f"cannot run {child.spec.argv[0]}: {error}\n".encode())
                output.flush()  # read back at once, for the message
                self._after_death(child, "could not be run")
                return
        child.process = ProcessId.of(child.popen.pid)
        child.state = ProcessState.STARTING
        child.message = ""

    def _tick(self, child: _Child) -> bool:
        before = (child.state, child.process)
        if child.popen is not None and _is_dead(child.popen):
            self._after_death(child, self._bury(child))
        elif child.state is ProcessState.STARTING and self._ready_file(child).exists():
            child.state = ProcessState.UP
        elif child.state is ProcessState.RESTARTING and time.monotonic() >= child.restart_at:
            child.restarts += 1
            self._start(child)
        return before != (child.state, child.process)

    def _bury(self, child: _Child) -> str:
        """Kill what is left of a process's group and reap it; return how it ended."""
        assert child.popen is not None
        # Until it is reaped its pid, and so its group, can belong to nobody else.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.popen.pid, signal.SIGKILL)
        code = child.popen.wait()
        child.popen = None
        child.process = None
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"

    def _after_death(self, child: _Child, how: str) -> None:
        self._ready_file(child).unlink(missing_ok=True)
        lived_s = time.monotonic() - child.started
        quick = lived_s < _QUICK_DEATH_S or child.state is not ProcessState.UP
        child.quick_deaths = child.quick_deaths + 1 if quick else 1
        output = tail(self._home.log(child.spec.name), since=child.log_start)
        child.message = f"{child.spec.name}: {how} after {lived_s:.1f} s\n{output}".rstrip()
        if child.quick_deaths >= _QUICK_DEATHS:
            child.state = ProcessState.FAILED
            self._report(f"{child.message}\n{child.spec.name} is given up: it keeps dying")
            return
        delay = min(_FIRST_DELAY_S * 2 ** (child.quick_deaths - 1), _LONGEST_DELAY_S)
        child.state = ProcessState.RESTARTING
        child.restart_at = time.monotonic() + delay
        self._report(
            f"{child.spec.name}: {how} after {lived_s:.1f} s; starting it again in {delay:.1f} s"
        )

    def _ready_file(self, child: _Child) -> Path:
        return self._home.ready / child.spec.name


def mark(home: Home, name: str = "") -> str:
    """Return the value of `MARK` in the environment of a process, or how all of a home's begin."""
    return f"{home.run}:{name}"


def stop_orphans(home: Home, record: Mapping[str, Mapping[str, Any]], grace_s: float = 5.0) -> int:
    """Stop the processes of a family whose owner was killed; return how many there were.

    Args:
        home: Where they ran.
        record: What the owner last recorded (`Family.record`).
        grace_s: Seconds between SIGTERM and SIGKILL.
    """
    leaders = [ProcessId.from_json(entry.get("process")) for entry in record.values()]
    orphans = {p for p in leaders if p is not None and p.alive()}
    # Their own children, and one that was started in the moment before the owner was killed.
    marked = set(_marked(home))
    for process in orphans or marked:
        process.signal(signal.SIGTERM)
    deadline = time.monotonic() + grace_s
    for process in orphans | marked:
        if not process.wait(max(0.0, deadline - time.monotonic())):
            process.stop(signal.SIGKILL, 5)
    return len(orphans | marked)


def _marked(home: Home) -> list[ProcessId]:
    import psutil

    found = []
    for process in psutil.process_iter():
        try:
            ours = process.environ().get(MARK, "").startswith(mark(home))
        except (psutil.Error, OSError):
            continue
        identity = ProcessId.of(process.pid) if ours and process.pid != os.getpid() else None
        if identity is not None:
            found.append(identity)
    return found


def _is_dead(popen: "subprocess.Popen[bytes] | None") -> bool:
    """Say whether a child has ended, leaving it to be reaped later."""
    assert popen is not None
    flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
    return os.waitid(os.P_PID, popen.pid, flags) is not None
