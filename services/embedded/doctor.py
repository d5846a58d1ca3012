"""Check each thing that TubeGrader needs, and say what to do about those that are missing."""

import importlib.metadata
import importlib.util
import platform
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from services.embedded import lifecycle, postgres, redis, status, urls, workers
from services.embedded.checks import Check, Level
from services.embedded.home import Home
from services.errors import TubeGraderError, UsageError

if TYPE_CHECKING:
    from services.settings import Settings

_LITTLE_SPACE = 5 * 2**30
_NO_SPACE = 2**29
_SOON_DAYS = 90
# Google's own channel for developers; any id would do, an answer without it too.
_SOME_CHANNEL = "UC_x5XG1OV2P6uZZ5FSM9Ttw"


def checks(settings: "Settings", *, online: bool = False) -> Iterator[Check]:
    """Check everything, one after the other.

    PostgreSQL and Redis are started for it, and stopped again if nobody else uses them.

    Args:
        settings: What to check.
        online: Also ask YouTube whether the key works: 1 unit of its quota.
    """
    yield Check("Python", Level.OK, platform.python_version())
    home = Home(settings.home)
    made = _attempt("home", lambda: _home(home))
    yield made
    if made.level is not Level.FAIL:
        yield _space(home)
        yield from _servers(home, settings, online=online)
    yield _processes(settings)
    yield _package("torch", "training and scoring need it", "learning")
    yield _torchaudio()
    yield _ffmpeg()
    yield _javascript(settings)


def _home(home: Home) -> str:
    home.create()
    return str(home.path)


def _space(home: Home) -> Check:
    free = shutil.disk_usage(home.path).free
    found = f"{free / 2**30:.1f} GB free"
    if free < _NO_SPACE:
        return Check("disk", Level.FAIL, found, "free some space, or choose another --home")
    if free < _LITTLE_SPACE:
        return Check("disk", Level.WARN, found, "100,000 thumbnails take about 2 GB")
    return Check("disk", Level.OK, found)


def _servers(home: Home, settings: "Settings", *, online: bool) -> Iterator[Check]:
    if settings.database_url is None:
        yield _attempt("PostgreSQL wheel", lambda: _version(postgres.programs() / "bin/postgres"))
    if settings.redis_url is None:
        yield _attempt("Redis wheel", lambda: _version(redis.program()))
    with lifecycle.used(home, "doctor"):
        with home.lock():
            database = _attempt("database", lambda: _database(home, settings))
            yield database
            if database.level is Level.OK:
                schema = _attempt("schema", lambda: _schema(home, settings))
                yield schema
                if schema.level is Level.OK:
                    yield _role(home, settings)
                    yield from _fleet(home, settings)
                    yield _attempt("audio", lambda: _audio(home, settings))
                    yield _odd_values(home, settings)
            queue = _attempt("Redis", lambda: _redis(home, settings))
            yield queue
        store = _attempt("object store", lambda: _store(home, settings))
        yield store
        if store.level is Level.OK and database.level is Level.OK and schema.level is Level.OK:
            size = _size(home, settings)
            yield size
            yield _backups(settings, size)
        else:
            yield _backups(settings, None)
        yield _key(settings)
        if online and settings.youtube_api_key is not None and database.level is Level.OK:
            yield _attempt("YouTube", lambda: _youtube(home, settings))


def _database(home: Home, settings: "Settings") -> str:
    from services.embedded.schema import connect

    # As the owner: before the migration there may be no other role.
    url = lifecycle.start_database(home, settings).schema_url
    with connect(url) as connection:
        row = connection.execute("SHOW server_version").fetchone()
    return f"PostgreSQL {row[0] if row else '?'} at {urls.redacted(url)}"


def _schema(home: Home, settings: "Settings") -> str:
    from services.embedded.schema import connect, head_revision, is_current, revision

    database = lifecycle.start_database(home, settings)
    if database.embedded:
        lifecycle.migrate(home, database)
    with connect(database.schema_url) as connection:
        if not is_current(connection):
            raise UsageError(
                f"at {revision(connection)}, this TubeGrader needs {head_revision()}",
                hint="any command that uses the database migrates it, such as tubegrader up",
            )
    return f"at {head_revision()}, current"


def _role(home: Home, settings: "Settings") -> Check:
    from sqlalchemy.exc import OperationalError

    from db.grants import standing

    try:
        found = standing(lifecycle.start_database(home, settings).url)
    except OperationalError as error:
        remedy = "`tubegrader migrate` with TUBEGRADER_OWNER_URL sets its password"
        return Check("role", Level.FAIL, str(error.orig).strip().splitlines()[-1], remedy)
    if not (found.owner or found.superuser) and found.analyst_locks:
        what = "who asks the database could hold the locks that work takes turns by"
        remedy = "`SELECT keep_locks()` as a superuser: docs/operations/security.md, Roles"
        return Check("role", Level.WARN, what, remedy)
    if not (found.owner or found.superuser):
        return Check("role", Level.OK, f"{found.role} reads and writes rows, and nothing else")
    what = "a superuser" if found.superuser else "the owner of the tables"
    return Check(
        "role",
        Level.WARN,
        f"everything runs as {found.role}, {what}",
        "tubegrader_app can do all that is needed: docs/operations/security.md, Roles",
    )


def _fleet(home: Home, settings: "Settings") -> Iterator[Check]:
    from services.context import Context
    from services.work import fleet

    own = {"database_url": lifecycle.start_database(home, settings).url}
    context = Context(settings.model_copy(update=own))
    try:
        found = fleet.listed(context)
    except TubeGraderError as error:
        yield Check("dispatcher", Level.WARN, str(error), error.hint)
        return
    finally:
        context.close()
    hanging = [each.lateness for each in found if each.lateness is not None]
    elected = [each for each in found if each.is_elected]
    if hanging:
        remedy = "its log says more; `SELECT * FROM pg_stat_activity` shows what PostgreSQL is at"
        yield Check("dispatcher", Level.WARN, "; ".join(hanging), remedy)
    elif elected:
        yield Check("dispatcher", Level.OK, f"elected on {elected[0].host}, nothing hangs")
    else:
        yield Check("dispatcher", Level.OK, "none is elected; `tubegrader up` starts one")
    unfit = [each.unfitness for each in found if each.unfitness is not None]
    if unfit:
        remedy = "mend it on that machine; others go on meanwhile: docs/operations/scoring.md"
        yield Check("machines", Level.WARN, "; ".join(unfit), remedy)


def _audio(home: Home, settings: "Settings") -> str:
    from datetime import UTC, datetime

    from sqlalchemy import create_engine
    from sqlalchemy.orm import Session

    from db.queries.policy.approvals import approvals_in_force

    if settings.audio_allowed:
        return "on, for material of your own: TUBEGRADER_AUDIO_ALLOWED is set"
    engine = create_engine(lifecycle.start_database(home, settings).url)
    try:
        with Session(engine) as session:
            approvals = approvals_in_force(session, "audio", now=datetime.now(UTC))
            references = ", ".join(sorted({approval.reference for approval in approvals}))
    finally:
        engine.dispose()
    if references:
        return f"on, by {references}"
    return (
        "off: none is downloaded without an approval "
        "(`tubegrader approvals add REFERENCE --scope audio`)"
    )


def _odd_values(home: Home, settings: "Settings") -> Check:
    from services.context import Context
    from services.crawl import odd

    database = {"database_url": lifecycle.start_database(home, settings).url}
    context = Context(settings.model_copy(update=database))
    try:
        found = odd.lately(context)
    except TubeGraderError as error:
        return Check("odd values", Level.WARN, str(error), error.hint)
    finally:
        context.close()
    if not found:
        return Check("odd values", Level.OK, "none in 7 days")
    figures = {"fields": [field.as_json() for field in found]}
    line = f"in 7 days {odd.described(found)}"
    return Check("odd values", Level.OK, line, figures=figures)


def _redis(home: Home, settings: "Settings") -> str:
    url = lifecycle.start_queue(home, settings)
    return f"Redis {lifecycle.check_redis(url)} at {urls.redacted(url)}"


def _store(home: Home, settings: "Settings") -> str:
    from services.storage import ObjectStore

    url = lifecycle.storage_url(home, settings)
    ObjectStore.from_url(url).check()
    return f"wrote, read and deleted in {urls.redacted(url)}"


def _size(home: Home, settings: "Settings") -> Check:
    from services.context import Context
    from services.policy import sizes

    endpoints = lifecycle.running_servers(home, settings)
    assert endpoints is not None, "started above"
    context = Context(endpoints.applied_to(settings))
    try:
        measured = sizes.measure(context)
    except TubeGraderError as error:
        return Check("size", Level.WARN, str(error), error.hint)
    finally:
        context.close()
    total = measured.total
    largest = ", ".join(
        f"{each.kind} {sizes.described(each.bytes)}" for each in measured.kinds[:3] if each.bytes
    )
    found = f"{sizes.described(total.bytes)} ({largest}); "
    if total.bytes_per_day is None or total.bytes_per_year is None:
        found += "how fast it grows is known after two days of upkeep"
        return Check("size", Level.OK, found, figures=measured.as_json())
    found += (
        f"grows by {sizes.described(total.bytes_per_day)} a day, "
        f"{sizes.described(total.bytes_per_year)} a year"
    )
    free = shutil.disk_usage(home.path).free
    is_here = settings.database_url is None and settings.storage_url is None
    if is_here and total.bytes_per_day * _SOON_DAYS > free:
        days = free / total.bytes_per_day
        remedy = f"the disk is full in {days:.0f} days at that pace: docs/operations/retention.md"
        return Check("size", Level.WARN, found, remedy, measured.as_json())
    return Check("size", Level.OK, found, figures=measured.as_json())


def _backups(settings: "Settings", size: Check | None) -> Check:
    from services.backups.standing import standing
    from services.clock import system_clock

    found = standing(settings, now=system_clock())
    kinds = () if size is None or size.figures is None else size.figures["kinds"]
    # A home in which nothing was collected yet has nothing to lose.
    is_new = any(each["kind"] == "pictures" and not each["rows"] for each in kinds)
    is_well = found.problem is None or (found.target is None and is_new)
    level = Level.OK if is_well else Level.WARN
    return Check("backups", level, found.line, "docs/operations/backup.md", found.as_json())


def _key(settings: "Settings") -> Check:
    if settings.youtube_endpoint is not None:
        return Check("YouTube", Level.OK, f"not YouTube itself but {settings.youtube_endpoint}")
    if settings.youtube_api_key is None:
        return Check(
            "YouTube key",
            Level.WARN,
            "not set: nothing can be crawled from YouTube",
            "make one at https://console.cloud.google.com (YouTube Data API v3) and set "
            "TUBEGRADER_YOUTUBE_API_KEY",
        )
    return Check("YouTube key", Level.OK, "set; `tubegrader doctor --online` tries it")


def _youtube(home: Home, settings: "Settings") -> str:
    from services.context import Context

    endpoints = lifecycle.running_servers(home, settings)
    assert endpoints is not None, "started above"
    context = Context(endpoints.applied_to(settings))
    try:
        context.youtube.channels([_SOME_CHANNEL])
    finally:
        context.close()
    return "the key works (1 unit spent)"


def _processes(settings: "Settings") -> Check:
    found = {part.name: part for part in status.status(settings).parts}
    processes = [found[name] for name in workers.names()]
    failed = [part for part in processes if part.state not in (status.UP, status.DOWN)]
    if failed:
        part = failed[0]
        return Check(
            "workers",
            Level.FAIL,
            f"{part.name} is {part.state}",
            f"see {Home(settings.home).log(part.name)}",
        )
    if all(part.state == status.UP for part in processes):
        return Check("workers", Level.OK, "running")
    return Check("workers", Level.OK, "not running; `tubegrader up` starts them")


def _package(name: str, why: str, extra: str) -> Check:
    if importlib.util.find_spec(name) is None:
        remedy = f"pip install 'tubegrader[{extra}]'"
        return Check(name, Level.WARN, f"not installed: {why}", remedy)
    return Check(name, Level.OK, importlib.metadata.version(name))


def _torchaudio() -> Check:
    from ml.runtime.torchaudio_repair import torchaudio_import_error

    error = torchaudio_import_error()
    if error is None:
        return _package("torchaudio", "speech needs it", "speech")
    return Check(
        "torchaudio",
        Level.WARN,
        f"cannot be imported: {error.splitlines()[-1]}",
        "python -m ml.runtime.torchaudio_repair",
    )


def _ffmpeg() -> Check:
    from services.youtube.audio import ffmpeg_path

    path = ffmpeg_path()
    if path is None:
        remedy = "pip install 'tubegrader[speech]', or install ffmpeg"
        return Check("ffmpeg", Level.WARN, "not found: speech audio needs it", remedy)
    whose = "the system's" if path == shutil.which("ffmpeg") else "of the imageio-ffmpeg wheel"
    return Check("ffmpeg", Level.OK, f"{path} ({whose})")


def _javascript(settings: "Settings") -> Check:
    from services.youtube.audio import javascript_runtime

    if importlib.util.find_spec("yt_dlp") is None:
        return _package("yt_dlp", "it loads YouTube's audio", "speech")
    try:
        found = javascript_runtime(settings.ytdlp_js_runtime)
    except TubeGraderError as error:
        return Check("JavaScript", Level.WARN, str(error), error.hint)
    return Check("JavaScript", Level.OK, f"{found.name} {found.version} at {found.path}")


def _attempt(name: str, attempt: Callable[[], str]) -> Check:
    """Turn an expected failure into a line of the report."""
    try:
        return Check(name, Level.OK, attempt())
    except TubeGraderError as error:
        return Check(name, Level.FAIL, str(error), error.hint)


def _version(program: Path) -> str:
    version = _output([str(program), "--version"])
    if not version:
        raise UsageError(
            f"{program} cannot be run",
            hint="pip install --force-reinstall 'tubegrader[embedded]'",
        )
    return version


def _output(argv: list[str]) -> str:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
