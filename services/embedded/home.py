"""The folder that holds one embedded stack: its data, logs and what runs."""

import fcntl
import json
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ml.runtime.files import replaced
from services.errors import TransientError, UsageError

# sun_path is 108 bytes on Linux and 104 on macOS, both with the closing NUL.
_SOCKET_PATH_BYTES = 103
_POSTGRES_SOCKET = ".s.PGSQL.5432"
_SOCKET_PARENT = Path("/tmp")  # noqa: S108 - mkdtemp makes private folders in it
_SOCKET_PREFIX = "tubegrader-socket-"
_LOCK_POLL_S = 0.02


class Home:
    """Layout of ``TUBEGRADER_HOME``.

    ``postgres/`` and ``redis/`` belong to the servers, ``objects/`` is the object store,
    ``logs/`` has one file per process, and ``run/`` says what runs now: it may be deleted while
    nothing does.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().absolute()
        self.postgres = self.path / "postgres"
        self.redis = self.path / "redis"
        self.objects = self.path / "objects"
        self.logs = self.path / "logs"
        self.run = self.path / "run"
        self.holders = self.run / "holders"
        self.ready = self.run / "ready"

    def create(self) -> None:
        """Make the folders that are missing, for their owner alone.

        Raises:
            UsageError: The home cannot be written, or belongs to another user.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            for folder in (self.redis, self.objects, self.logs, self.run, self.holders, self.ready):
                folder.mkdir(mode=0o700, exist_ok=True)
            self._check_owner()
        except OSError as error:
            raise UsageError(
                f"cannot write to the home {self.path}: {error.strerror}",
                hint="choose another folder with --home or TUBEGRADER_HOME",
            ) from error

    def _check_owner(self) -> None:
        owner = self.run.stat().st_uid
        if owner == os.geteuid():
            return
        raise UsageError(
            f"the home {self.path} belongs to user {_user_name(owner)}, "
            f"not to {_user_name(os.geteuid())}",
            hint="run as that user, or choose another folder with --home or TUBEGRADER_HOME",
        )

    def log(self, name: str) -> Path:
        """Return the log file of a process."""
        return self.logs / f"{name}.log"

    def require_space(self, n_bytes: int, purpose: str) -> None:
        """Refuse early, in words, what would fail half-way on a full disk.

        Raises:
            UsageError: Less than ``n_bytes`` are free.
        """
        free = shutil.disk_usage(self.path).free
        if free < n_bytes:
            raise UsageError(
                f"the disk of {self.path} is full: {purpose} needs {n_bytes // 2**20} MB, "
                f"{free // 2**20} MB are free",
                hint="free some space, or choose another folder with --home or TUBEGRADER_HOME",
            )

    @contextmanager
    def lock(self, timeout_s: float = 120.0) -> Iterator[None]:
        """Hold the home's lock: only its holder starts or stops anything.

        The kernel drops it when the process dies, so a crash never leaves it behind.

        Raises:
            TransientError: Another process held it for ``timeout_s``.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            with self.try_lock() as held:
                if held:
                    yield
                    return
            if time.monotonic() > deadline:
                raise TransientError(
                    f"another command has been starting or stopping {self.path} "
                    f"for {timeout_s:.0f} s",
                    reason="homeBusy",
                    hint="wait for it, or see what it does in the folder logs/",
                )
            time.sleep(_LOCK_POLL_S)

    @contextmanager
    def try_lock(self, name: str = "lock") -> Iterator[bool]:
        """Take the lock if nobody has it; yields whether it was taken."""
        # Not deleted afterwards: two processes could then lock two different files.
        handle = os.open(self.run / name, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
        finally:
            os.close(handle)

    def read_state(self, name: str) -> dict[str, Any]:
        """Return what ``run/<name>.json`` records; empty where nothing is."""
        return read_json(self.run / f"{name}.json")

    def write_state(self, name: str, record: Mapping[str, Any]) -> None:
        """Replace ``run/<name>.json`` in one step, readable by its owner only."""
        write_json(self.run / f"{name}.json", record)

    def drop_state(self, name: str) -> None:
        """Forget ``run/<name>.json``."""
        (self.run / f"{name}.json").unlink(missing_ok=True)

    def socket_folder(self, last: Path | None, *, elsewhere: bool) -> Path:
        """Return an empty private folder for PostgreSQL's socket, short enough to be one.

        That is ``run/postgres``; below a long path, or where ``elsewhere`` says that its server
        cannot get there, it is a folder in the system's folder for temporary files: the ``last``
        one again if it is there, otherwise a fresh one.
        """
        folder = self.run / "postgres"
        if not elsewhere and len(os.fsencode(folder / _POSTGRES_SOCKET)) <= _SOCKET_PATH_BYTES:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(mode=0o700)
            return folder
        if last is not None and self._is_private_socket_folder(last):
            # Emptied, not made anew: in between anybody could take its name in /tmp.
            for file in last.iterdir():
                file.unlink()
            return last
        # Not TMPDIR: that may be long or private, too. What mkdtemp makes is for us alone.
        return Path(tempfile.mkdtemp(prefix=_SOCKET_PREFIX, dir=_SOCKET_PARENT))

    def _is_private_socket_folder(self, folder: Path) -> bool:
        """Say whether a folder in /tmp is still ours: after a reboot its name was free to take."""
        if not self.makes_socket_folder(folder):
            return False
        try:
            status = folder.lstat()
            owners = {os.geteuid(), self.postgres.stat().st_uid}
        except OSError:
            return False
        closed = status.st_mode & (stat.S_IRWXG | stat.S_IRWXO) == 0
        return stat.S_ISDIR(status.st_mode) and closed and status.st_uid in owners

    def makes_socket_folder(self, folder: Path) -> bool:
        """Say whether `socket_folder` makes folders of this name."""
        in_tmp = folder.parent == _SOCKET_PARENT and folder.name.startswith(_SOCKET_PREFIX)
        return in_tmp or folder == self.run / "postgres"


def read_json(path: Path) -> dict[str, Any]:
    """Return a recorded object; empty where the file is missing or not one."""
    try:
        record = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def write_json(path: Path, record: Mapping[str, Any]) -> None:
    """Write a file in one step: a reader sees the old or the new one, never half of it."""
    with replaced(path) as partial:
        partial.touch(0o600)
        partial.write_text(json.dumps(record), encoding="utf-8")


def _user_name(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
