"""What runs in a home right now, part by part. Looking starts nothing and changes nothing."""

import importlib.metadata
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from services.embedded import holders, lifecycle, postgres, redis, urls, workers
from services.embedded.home import Home
from services.embedded.identity import ProcessId
from services.embedded.processes import ProcessState
from services.errors import TubeGraderError
from services.queue import DISPATCHER, QUEUES

if TYPE_CHECKING:
    from services.embedded.postgres import PostgresServer
    from services.embedded.redis import RedisServer
    from services.settings import Settings

UP = ProcessState.UP.value
DOWN = ProcessState.DOWN.value


@dataclass(frozen=True)
class Part:
    """One part of the stack.

    Attributes:
        name: ``postgres``, ``redis``, ``storage``, a queue's worker or ``dispatcher``.
        state: ``up`` or ``down``; of processes also ``starting``, ``restarting`` or ``failed``.
        pid: Its process; None if it has none here.
        since: When that was started.
        endpoint: Its address without password; a worker's queue.
        version: What it reports to be, or None while it is down.
        message: Why it is not up, if that is known.
    """

    name: str
    state: str
    pid: int | None = None
    since: datetime | None = None
    endpoint: str | None = None
    version: str | None = None
    message: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return plain values for ``--json``."""
        return vars(self) | {"since": None if self.since is None else self.since.isoformat()}


@dataclass(frozen=True)
class Status:
    """All parts, and the commands that use the home now."""

    parts: tuple[Part, ...]
    users: tuple[holders.Holder, ...]

    @property
    def all_up(self) -> bool:
        """Say whether every part is up."""
        return all(part.state == UP for part in self.parts)


def status(settings: "Settings") -> Status:
    """Look at every part."""
    home = Home(settings.home)
    return Status(
        (
            _database(home, settings),
            _queue(home, settings),
            _storage(home, settings),
            *_processes(home),
        ),
        tuple(holders.living(home)),
    )


def _database(home: Home, settings: "Settings") -> Part:
    def version(url: str) -> str | None:
        from services.embedded.schema import connect

        with connect(urls.database_url(url)) as connection:
            row = connection.execute("SHOW server_version").fetchone()
        return str(row[0]) if row else None

    url = settings.database_url
    own = postgres.running(home) if url is None else None
    # Its owner is there before any migration.
    ask = version if own is None else lambda _: version(own.owner_url)
    return _server("postgres", url, own, ask)


def _queue(home: Home, settings: "Settings") -> Part:
    def version(url: str) -> str | None:
        return lifecycle.check_redis(urls.redis_url(url))

    url = settings.redis_url
    return _server("redis", url, redis.running(home) if url is None else None, version)


def _server(
    name: str,
    url: str | None,
    own: "PostgresServer | RedisServer | None",
    version: Callable[[str], str | None],
) -> Part:
    """Return the part of a server: of somebody else's at ``url``, or of our own if it runs.

    Args:
        name: Of the part.
        url: Somebody else's; None: it is to be our own.
        own: Ours.
        version: Asks a server for its version; raises a TubeGraderError if it does not answer.
    """
    pid = since = None
    if url is None:
        if own is None:
            return Part(name, DOWN)
        pid, since, url = own.process.pid, _moment(own.since), own.url
    try:
        found = version(url)
    except TubeGraderError as error:
        return Part(name, DOWN, pid, since, urls.redacted(url), message=str(error))
    return Part(name, UP, pid, since, urls.redacted(url), found)


def _storage(home: Home, settings: "Settings") -> Part:
    url = lifecycle.storage_url(home, settings)
    shown = urls.redacted(url)
    if url.startswith("file://"):
        folder = Path(unquote(urlsplit(url).path))
        if os.access(folder, os.W_OK | os.X_OK):
            return Part("storage", UP, endpoint=shown, version="folder")
        reason = "not writable" if folder.exists() else "not made yet"
        return Part("storage", DOWN, endpoint=shown, message=f"{folder} is {reason}")
    from services.storage import ObjectStore

    try:
        ObjectStore.from_url(url).check()
    except TubeGraderError as error:
        return Part("storage", DOWN, endpoint=shown, message=str(error))
    return Part("storage", UP, endpoint=shown, version=url.partition(":")[0])


def _processes(home: Home) -> list[Part]:
    record: dict[str, Any] = home.read_state(workers.SUPERVISOR)
    supervised = workers.supervisor(home) is not None
    return [
        _process(home, name, record.get("processes", {}).get(name, {}), supervised=supervised)
        for name in workers.names()
    ]


def _process(home: Home, name: str, entry: dict[str, Any], *, supervised: bool) -> Part:
    endpoint = None if name == DISPATCHER else f"queue {name}"
    if name == workers.API:
        endpoint = workers.api_url(home)
    process = ProcessId.from_json(entry.get("process"))
    if process is None or not process.alive():
        state = entry.get("state", DOWN) if supervised else DOWN
        # Recorded as up, and dead a moment ago: its supervisor is about to notice.
        state = ProcessState.RESTARTING.value if state == UP else state
        return Part(name, state, endpoint=endpoint, message=entry.get("message") or None)
    if not supervised:
        message = "its supervisor was killed; the next `tubegrader up` replaces it"
        return Part(name, "orphaned", process.pid, _moment(entry["since"]), endpoint, None, message)
    runs = "celery" if name in QUEUES else "tubegrader"
    version = f"{runs} {importlib.metadata.version(runs)}"
    since = _moment(entry["since"])
    return Part(name, entry["state"], process.pid, since, endpoint, version)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
