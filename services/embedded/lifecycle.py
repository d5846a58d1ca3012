"""Start what a command needs, share it with other commands, stop it after the last of them."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from services.embedded import holders, postgres, redis, urls
from services.embedded import workers as worker_processes
from services.embedded.endpoints import Endpoints
from services.embedded.home import Home
from services.errors import TransientError

if TYPE_CHECKING:
    from services.settings import Settings

_MIGRATED = "schema"


@contextmanager
def stack(
    settings: "Settings",
    workers: bool = False,
    *,
    role: str = "command",
    durable: bool = True,
    progress: Callable[[str], None] | None = None,
) -> Iterator[Endpoints]:
    """Have PostgreSQL, Redis and the object store ready while the block runs.

    What the home does not run yet is started, and stopped again when the last of all commands
    that use it leaves, in whichever order. Parts that the settings name elsewhere are used there
    and never started or stopped. The database is migrated if it is behind.

    Args:
        settings: The home and the addresses that replace its parts.
        workers: Also have the worker processes and the dispatcher running.
        role: What to call this use in ``tubegrader status``.
        durable: False trades safety against a power cut for speed; for tests.
        progress: Is told, in a few words, what is being done.

    Raises:
        UsageError: The home or an address cannot work; the message says what to do.
        TransientError: A part did not start or cannot be reached.
    """
    home = Home(settings.home)
    tell = progress or _say_nothing
    with used(home, role):
        with home.lock():
            tell("starting PostgreSQL and Redis")
            endpoints = start_servers(home, settings, durable=durable)
        if workers:
            worker_processes.ensure(home, settings, progress=tell)
        yield endpoints


@contextmanager
def used(home: Home, role: str) -> Iterator[holders.Holder]:
    """Keep what runs in a home running; stop it afterwards if nobody else uses it.

    Raises:
        UsageError: The home cannot be written, or belongs to another user.
    """
    home.create()
    with _ended_by_signals():
        with home.lock():
            holders.drop_dead(home)
            holder = holders.hold(home, role)
        try:
            yield holder
        finally:
            with home.lock():
                holders.release(holder)
                if not holders.living(home):
                    worker_processes.stop(home)
                    stop_servers(home)


def stay_up(home: Home) -> None:
    """Let the supervisor, and with it everything, run on after its users have left.

    Raises:
        TransientError: There is no supervisor.
    """
    with home.lock():
        supervisor = worker_processes.supervisor(home)
        if supervisor is None:
            raise TransientError(
                "the supervisor has died",
                reason="supervisorDied",
                hint=f"its log is {home.log(worker_processes.SUPERVISOR)}",
            )
        if not holders.of_process(home, supervisor):
            holders.hold(home, "up", supervisor)


def stop_all(home: Home) -> tuple[list[str], list[holders.Holder]]:
    """Stop everything that runs in a home.

    Returns:
        What was stopped, and who was using it.
    """
    if not home.run.exists():
        return [], []
    home.create()
    with home.lock():
        stopped = [
            *(["the workers"] if home.read_state(worker_processes.SUPERVISOR) else []),
            *(["PostgreSQL"] if postgres.running(home) else []),
            *(["Redis"] if redis.running(home) else []),
        ]
        users = holders.drop_all(home)
        worker_processes.stop(home)
        stop_servers(home)
    return stopped, users


def running_servers(home: Home, settings: "Settings") -> Endpoints | None:
    """Return the endpoints if the home's own servers all run; others are not asked."""
    database_url, redis_url = settings.database_url, settings.redis_url
    owner_url = urls.owner_url(settings)
    if database_url is None:
        database = postgres.running(home)
        if database is None:
            return None
        database_url = database.url
        owner_url = database.owner_url
    if redis_url is None:
        queue = redis.running(home)
        if queue is None:
            return None
        redis_url = queue.url
    return Endpoints(
        urls.database_url(database_url),
        urls.redis_url(redis_url),
        storage_url(home, settings),
        owner_url,
    )


def start_servers(home: Home, settings: "Settings", *, durable: bool = True) -> Endpoints:
    """Start the servers that are missing and migrate. Holds the home's lock."""
    database = start_database(home, settings, durable=durable)
    redis_url = start_queue(home, settings)
    migrate(home, database)
    return Endpoints(database.url, redis_url, storage_url(home, settings), database.owner_url)


@dataclass(frozen=True)
class Database:
    """Where a database is, for those who use it and for its owner."""

    url: str
    owner_url: str | None
    """None: nobody else is known than who uses it."""
    embedded: bool

    @property
    def schema_url(self) -> str:
        """The address by which its schema is changed."""
        return self.owner_url or self.url


def start_database(home: Home, settings: "Settings", *, durable: bool = True) -> Database:
    """Return where the database is; the home's own is started. Holds the home's lock."""
    if settings.database_url is not None:
        url = urls.database_url(settings.database_url)
        return Database(url, urls.owner_url(settings), embedded=False)
    server = postgres.running(home)
    if server is None:
        home.drop_state(_MIGRATED)
        server = postgres.start(home, durable=durable)
    return Database(server.url, server.owner_url, embedded=True)


def start_queue(home: Home, settings: "Settings") -> str:
    """Return Redis's address; the home's own is started. Holds the home's lock."""
    if settings.redis_url is None:
        return (redis.running(home) or redis.start(home)).url
    redis_url = urls.redis_url(settings.redis_url)
    check_redis(redis_url)
    return redis_url


def stop_servers(home: Home) -> None:
    """Stop the home's own servers, those of them that run. Holds the home's lock."""
    redis.stop(home)
    postgres.stop(home)
    home.drop_state(_MIGRATED)


def storage_url(home: Home, settings: "Settings") -> str:
    """Return the object store's address: the settings', or the home's folder."""
    return settings.storage_url or home.objects.as_uri()


def check_redis(redis_url: str) -> str:
    """Return the version of the Redis at an address.

    Raises:
        TransientError: It cannot be reached.
    """
    import redis as client

    try:
        with client.Redis.from_url(
            redis_url, socket_connect_timeout=5, socket_timeout=5
        ) as connection:
            return str(connection.info("server")["redis_version"])
    except (client.RedisError, ValueError, OSError) as error:
        raise TransientError(
            f"cannot reach Redis at {urls.redacted(redis_url)}: {error}",
            reason="redisUnreachable",
            hint="check TUBEGRADER_REDIS_URL, or unset it to use the embedded Redis",
        ) from error


def migrate(home: Home, database: Database) -> None:
    """Bring the schema up to date. Holds the home's lock.

    Once that is done, nothing but this code changes the schema of an embedded database while it
    runs: the next command need not even connect to ask.

    Raises:
        TransientError: The database cannot be reached.
        UsageError: Its schema comes from a newer TubeGrader, or is older and not ours to change.
    """
    from services.embedded.schema import ensure_current, ensure_roles, head_revision

    head = head_revision()
    if database.embedded and head is not None and home.read_state(_MIGRATED).get("head") == head:
        return
    ensure_current(database.schema_url)
    if database.embedded:
        ensure_roles(database.schema_url)
        home.write_state(_MIGRATED, {"head": head})


def migrate_database(settings: "Settings") -> None:
    """Bring the database up to date, with its roles and their passwords; needs nothing else.

    Raises:
        As :func:`migrate`.
    """
    from services.embedded.schema import set_up_roles

    home = Home(settings.home)
    with used(home, "migrate"), home.lock():
        database = start_database(home, settings)
        migrate(home, database)
        set_up_roles(database.schema_url, settings)


def after_restore(home: Home, settings: "Settings", database: Database) -> None:
    """Bring a restored database to this code's schema, roles and grants. Holds the home's lock.

    Raises:
        As :func:`migrate`.
    """
    from services.embedded.schema import set_up_roles

    home.drop_state(_MIGRATED)
    migrate(home, database)
    set_up_roles(database.schema_url, settings)


def _say_nothing(_: str) -> None:
    pass


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Turn a closed terminal or a polite kill into an exit that still leaves the stack."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ours = [
        signum
        for signum in (signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(signum) == signal.SIG_DFL
    ]
    for signum in ours:
        signal.signal(signum, _exit)
    try:
        yield
    finally:
        for signum in ours:
            signal.signal(signum, signal.SIG_DFL)


def _exit(signum: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + signum)
