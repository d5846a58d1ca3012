"""Which process a recorded pid means: a pid alone may have been given to somebody else since."""

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Self

_PROC = Path("/proc")
_POLL_S = 0.02


@dataclass(frozen=True)
class ProcessId:
    """A process for good: its pid and when it was created.

    ``started`` is opaque and only compared. On Linux it is the kernel's boot id and start tick,
    which, unlike a wall-clock time, stay put when the clock is set.
    """

    pid: int
    started: str

    @classmethod
    def of(cls, pid: int) -> Self | None:
        """Return the identity of the process that has ``pid`` now; None if dead or a zombie."""
        started = _started(pid)
        return None if started is None else cls(pid, started)

    @classmethod
    def current(cls) -> Self:
        """Return the identity of this process."""
        identity = cls.of(os.getpid())
        assert identity is not None
        return identity

    def alive(self) -> bool:
        """Say whether this very process still runs (a zombie does not)."""
        return _started(self.pid) == self.started

    def signal(self, signum: int) -> bool:
        """Send a signal to this process and to no later owner of its pid; False if it is gone."""
        if not hasattr(os, "pidfd_open"):  # not Linux
            if not self.alive():
                return False
            with suppress(ProcessLookupError):
                os.kill(self.pid, signum)
            return True
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return False
        try:
            # The handle pins the process: what passes this check is what gets the signal.
            if not self.alive():
                return False
            signal.pidfd_send_signal(handle, signum)
        except ProcessLookupError:
            return False
        finally:
            os.close(handle)
        return True

    def wait(self, seconds: float) -> bool:
        """Wait until the process is gone; False if it still runs after ``seconds``."""
        deadline = time.monotonic() + seconds
        while self.alive():
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_S)
        return True

    def stop(self, signum: int, grace_s: float) -> bool:
        """Ask with ``signum``, wait, then SIGKILL; False if even that took no effect."""
        self.signal(signum)
        if self.wait(grace_s):
            return True
        self.signal(signal.SIGKILL)
        return self.wait(5)

    def as_json(self) -> dict[str, int | str]:
        """Return what `from_json` reads."""
        return {"pid": self.pid, "started": self.started}

    @classmethod
    def from_json(cls, record: object) -> Self | None:
        """Read a recorded identity; None where there is none."""
        if not isinstance(record, dict):
            return None
        pid, started = record.get("pid"), record.get("started")
        return cls(pid, started) if isinstance(pid, int) and isinstance(started, str) else None


def _started(pid: int) -> str | None:
    if not (_PROC / "self" / "stat").exists():
        return _started_elsewhere(pid)
    try:
        stat = (_PROC / str(pid) / "stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name, in parentheses, may itself hold spaces and parentheses.
    fields = stat[stat.rindex(b")") + 2 :].split()
    state, start_tick = fields[0], fields[19]
    return None if state in (b"Z", b"X") else f"{_boot_id()}:{start_tick.decode()}"


@cache
def _boot_id() -> str:
    try:
        return (_PROC / "sys" / "kernel" / "random" / "boot_id").read_text().strip()
    except OSError:
        return "unknown-boot"


def _started_elsewhere(pid: int) -> str | None:
    import psutil

    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return repr(process.create_time())
    except psutil.NoSuchProcess:
        return None


def processes_in(folder: Path, program: str) -> dict[int, ProcessId]:
    """Return, by pid, the processes of ``program`` whose working folder is ``folder``.

    That is how a server is found which was started and never recorded.
    """
    import psutil

    found = {}
    for process in psutil.process_iter():
        try:
            # The file's name gains " (deleted)" when the program was reinstalled meanwhile.
            ours = Path(process.exe()).name.startswith(program)
            ours = ours and Path(process.cwd()) == folder.resolve()
        except (psutil.Error, OSError):
            continue
        identity = ProcessId.of(process.pid) if ours else None
        if identity is not None:
            found[process.pid] = identity
    return found
