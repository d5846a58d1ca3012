"""Making a backup: a dump as of one moment, and the objects that its rows speak of."""

import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

import structlog

from db.locks import LockLostError, advisory_lock
from db.queries.policy import objects
from db.queries.snapshots import Snapshot, server_version, snapshot
from services.backups.catalog import Catalog
from services.backups.encryption import Recipients
from services.backups.packing import PAGE, Packer
from services.backups.programs import major_of, pipe, postgres_program
from services.backups.target import Record, Target
from services.context import Context
from services.embedded.urls import database_url, owner_url
from services.errors import BusyError, InfrastructureError
from services.policy.deleting import BACKUP
from services.storage_errors import clear_errors

log = structlog.get_logger()

Progress = Callable[[int, int, str], None]
_PATIENCE_S = 60.0
"""How long is waited for purges to end their batch."""
_SCRATCH = "backup-"
_LEFT_S = 86_400
"""Another database's backup may be under way in the same home, and writes there all the time."""
_MAJOR = 10_000


def _quiet(_done: int, _total: int, _what: str) -> None:
    pass


@dataclass(frozen=True)
class Made:
    """A backup that was made, or what one would be.

    Attributes:
        backup_id: Its id; None: nothing was written.
        target: Where.
        objects: How many its rows speak of.
        object_bytes: Of those that are in packs.
        new_objects: How many of them no earlier backup had.
        new_bytes: What they took, as stored.
        dump_bytes: The dump's size, as stored.
        missing: Objects that rows speak of and the store does not have.
        encrypted: Whether it is.
        dry_run: Whether nothing was written.
    """

    backup_id: str | None
    target: str
    objects: int
    object_bytes: int
    new_objects: int
    new_bytes: int
    dump_bytes: int
    missing: int
    encrypted: bool
    dry_run: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return plain values for ``--json``."""
        return asdict(self)


def create(
    context: Context,
    target: Target,
    recipients: Recipients | None = None,
    *,
    dry_run: bool = False,
    progress: Progress = _quiet,
) -> Made:
    """Make a backup of the database and of every object that its rows speak of.

    Nothing that it is to have is deleted meanwhile (:mod:`services.policy.deleting`). It is there
    once its record is, which is written last; what a run that was stopped had copied is not copied
    again by the next.

    Args:
        context: The database and the object store.
        target: Where backups lie.
        recipients: For whom it is encrypted; None: it is not.
        dry_run: Only count.
        progress: Told objects done, of how many, and what is done; may raise to stop.

    Raises:
        UsageError: No pg_dump fits, there is nobody to encrypt for, or the target is a store.
        BusyError: Another backup is being made, or a purge does not end.
        InfrastructureError: The database went away, or another installation pruned what an earlier
            backup had (``backupInterrupted``).
        TransientError: A store did not answer.
    """
    recipients = recipients or Recipients()
    recipients.check()
    target.check_apart(str(context.settings.storage_url))
    url = owner_url(context.settings) or database_url(str(context.settings.database_url))
    major = server_version(url) // _MAJOR
    program = postgres_program("pg_dump", major)
    with (
        alone(context) as still_alone,
        scratch_folder(context) as scratch,
        Catalog.of(target, scratch) as catalog,
    ):
        for pack in target.lacking(catalog.packs(), []):
            catalog.forget(pack)
        dump = scratch / "dump"
        with snapshot(url) as moment:
            now = context.clock()
            progress(0, 0, "reading which objects there are")
            catalog.want(bytes.fromhex(name) for name in objects.all_referenced(moment.connection))
            if dry_run:
                return _counted(catalog, target, recipients)
            progress(0, 0, "dumping the database")
            pipe([_dump_command(program, url, moment)], target=dump, env=password_of(url))
        return _write(
            _Run(context, target, recipients, scratch, catalog, progress, still_alone),
            dump,
            moment,
            now,
            dump_version=major_of(program),
        )


@dataclass(frozen=True)
class _Run:
    context: Context
    target: Target
    recipients: Recipients
    scratch: Path
    catalog: Catalog
    progress: Progress
    still_alone: Callable[[], None]


def _counted(catalog: Catalog, target: Target, recipients: Recipients) -> Made:
    there, known = catalog.counts()
    new = catalog.lacking()
    return Made(None, target.url, there, known, new, 0, 0, 0, bool(recipients), dry_run=True)


def _write(run: _Run, dump: Path, moment: Snapshot, now: datetime, *, dump_version: int) -> Made:
    stored = run.scratch / "stored.dump"
    run.progress(0, 0, "storing the dump")
    run.recipients.encrypt(dump, stored)
    dump.unlink(missing_ok=True)
    dump_bytes = stored.stat().st_size
    dump_name = run.target.store.put_file(stored)
    stored.unlink()
    copied = _copy(run)
    run.catalog.drop(copied.missing)
    manifest = run.scratch / "manifest"
    with manifest.open("wb") as file:
        for name in run.catalog.wanted():
            file.write(name)
    there, size = run.catalog.counts()
    record = Record(
        backup_id=f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}",
        created_at=now.isoformat(),
        finished_at=run.context.clock().isoformat(),
        installation_id=str(moment.installation_id),
        schema=moment.schema,
        server_version=moment.server_version,
        dump_version=dump_version,
        encrypted=bool(run.recipients),
        dump=dump_name,
        dump_bytes=dump_bytes,
        manifest=run.target.store.put_file(manifest),
        objects=there,
        object_bytes=size,
        new_objects=copied.objects,
        new_bytes=copied.stored_bytes,
        missing=len(copied.missing),
    )
    run.still_alone()
    run.target.add(record)
    _check_there(run, record)
    log.info("backup.made", backup=record.backup_id, objects=there, new=copied.objects)
    return Made(
        record.backup_id,
        run.target.url,
        there,
        size,
        copied.objects,
        copied.stored_bytes,
        dump_bytes,
        record.missing,
        record.encrypted,
    )


def _check_there(run: _Run, record: Record) -> None:
    """See that nobody let go of what a backup needs before its record said so.

    Another installation's database has other locks. Who prunes looks for new records once the
    indexes are gone, and we for indexes once the record is there: one of both sees the other.
    """
    needed = run.catalog.packs_wanted()
    lost = run.target.lacking(needed, [record.dump, record.manifest])
    if not lost:
        return
    run.target.remove(record.backup_id)
    run.target.drop_indexes([pack for pack in needed if pack in lost])
    raise InfrastructureError(
        f"{len(lost):,} files that the backup counts on are gone from {run.target.url}",
        reason="backupInterrupted",
        hint="make the backup again: it copies anew what they held",
    )


@dataclass
class _Copied:
    missing: list[bytes]
    objects: int = 0
    stored_bytes: int = 0


def _copy(run: _Run) -> _Copied:
    total, _ = run.catalog.counts()
    there = total - run.catalog.lacking()
    packer = Packer(run.context.store, run.target, run.recipients, run.scratch)
    copied = _Copied(packer.missing)
    run.progress(there, total, "copying objects")
    for packed in packer.copy(run.catalog.lacking_pages(PAGE)):
        run.catalog.know(packed.pack, packed.places)
        copied.objects += len(packed.places)
        copied.stored_bytes += packed.stored_bytes
        run.still_alone()
        run.progress(there + copied.objects, total, "copying objects")
    return copied


@contextmanager
def alone(context: Context) -> Iterator[Callable[[], None]]:
    """Keep others from deleting objects, and from making or pruning backups, in the block.

    Yields:
        What sees that it is still so; raises InfrastructureError if the connection was lost.

    Raises:
        BusyError: Another backup is under way (``backupUnderWay``).
    """
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        with advisory_lock(context.engine, BACKUP) as held:
            if held is not None:

                def check() -> None:
                    try:
                        held.check()
                    except LockLostError as error:
                        raise InfrastructureError(
                            "the connection that kept objects from being deleted was lost",
                            reason="backupInterrupted",
                            hint="make the backup again: what was copied stays",
                        ) from error

                yield check
                return
        if time.monotonic() > deadline:
            raise BusyError(
                "another backup is being made, or a purge is at it",
                reason="backupUnderWay",
                hint="try again when it has ended: `tubegrader jobs list`",
            )
        time.sleep(0.2)


@contextmanager
def scratch_folder(context: Context) -> Iterator[Path]:
    """Have a folder in the home for what is on its way; what killed runs left there goes."""
    with clear_errors("scratch"):
        context.settings.home.mkdir(parents=True, exist_ok=True)
        for left in context.settings.home.glob(f"{_SCRATCH}*"):
            # A dump, in clear, as large as the database.
            if time.time() - left.stat().st_mtime > _LEFT_S:
                shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=_SCRATCH, dir=context.settings.home) as folder:
        yield Path(folder)


def _dump_command(program: Path, url: str, moment: Snapshot) -> list[str | Path]:
    return [
        program,
        "--format=custom",
        "--no-owner",
        f"--snapshot={moment.name}",
        "--lock-wait-timeout=60s",
        "--no-password",
        f"--dbname={without_password(url)}",
    ]


def without_password(url: str) -> str:
    """Return a database's address for libpq, for a list of arguments that everybody may see."""
    parts = urlsplit(url.replace("postgresql+psycopg://", "postgresql://", 1))
    user, at, host = parts.netloc.rpartition("@")
    query = [(key, value) for key, value in parse_qsl(parts.query) if key != "password"]
    netloc = f"{user.partition(':')[0]}{at}{host}"
    # %20 and not "+" for a space, which libpq would take as it stands.
    return urlunsplit(parts._replace(netloc=netloc, query=urlencode(query, quote_via=quote)))


def password_of(url: str) -> dict[str, str]:
    """Return the environment that tells libpq the password of an address."""
    parts = urlsplit(url)
    found = dict(parse_qsl(parts.query)).get("password")
    if parts.password is not None:
        found = unquote(parts.password)
    return {} if found is None else {"PGPASSWORD": found}
