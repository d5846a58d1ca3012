"""Making a database and an object store of a backup."""

import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any
from uuid import UUID

import structlog
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ProgrammingError, SQLAlchemyError

from db.grants import make_roles
from db.queries import snapshots
from services.backups.catalog import Catalog
from services.backups.checking import fetch_dump, open_pack
from services.backups.creating import password_of, without_password
from services.backups.packing import PACK_BYTES
from services.backups.programs import pipe, postgres_program
from services.backups.target import Place, Record, Target
from services.embedded.schema import connect, head_revision, knows
from services.errors import PermanentError, UsageError
from services.policy.ownership import Marker
from services.storage import LARGE, ObjectStore
from services.storage_named import NamedStore

log = structlog.get_logger()

Progress = Callable[[int, int, str], None]
UNDER_WAY = "restoring.json"
"""Says, in a store, that it is being filled, and from which backup."""
APART = "restored from a backup: `tubegrader work resume` lets it begin"


def _quiet(_done: int, _total: int, _what: str) -> None:
    pass


@dataclass(frozen=True)
class Restored:
    """What came of a backup.

    Attributes:
        backup_id: Which one.
        installation_id: Of the database now; None in a dry run.
        schema: The revision that the backup is at.
        objects: How many were put into the store.
        missing: Objects that were not there when it was made.
        dry_run: Whether nothing was written.
    """

    backup_id: str
    installation_id: str | None
    schema: str
    objects: int
    missing: int
    dry_run: bool

    def as_json(self) -> dict[str, Any]:
        """Return plain values for ``--json``."""
        return asdict(self)


def restore(
    target: Target,
    name: str,
    *,
    owner_url: str,
    storage_url: str,
    now: datetime,
    identity: Path | None = None,
    same_installation: bool = False,
    dry_run: bool = False,
    progress: Progress = _quiet,
) -> Restored:
    """Make an empty database and an empty store what they were at the moment of a backup.

    Objects come first, and the database in one transaction: a run that was stopped is begun again
    and goes on. Afterwards the schema is that of the backup; whoever calls migrates it.

    Args:
        target: Where backups lie.
        name: By what the backup's id begins, or ``newest``.
        owner_url: The empty database, as its owner.
        storage_url: The empty store.
        now: Noted in the store.
        identity: A file with the secret key, for an encrypted one.
        same_installation: Keep the installation's id: what was backed up is gone for good. Else it
            becomes an installation of its own, at which nothing begins before somebody resumes.
        dry_run: Check and change nothing.
        progress: Told objects done, of how many, and what is done; may raise to stop.

    Raises:
        UsageError: Database or store are not empty, the schema is newer than this code, the
            installation lives, or the identity is another one's.
        PermanentError: The backup is damaged.
        TransientError: A store or the database did not answer.
    """
    record = target.find(name)
    if not knows(record.schema):
        raise UsageError(
            f"the backup's schema ({record.schema}) is newer than this TubeGrader "
            f"({head_revision()})",
            reason="schemaNewer",
            hint="update TubeGrader, then restore",
        )
    program = postgres_program("pg_restore", record.dump_version)
    connect(owner_url).close()  # its error says what to do
    if not snapshots.is_empty(owner_url):
        raise UsageError(
            "the database is not empty",
            reason="databaseNotEmpty",
            hint="name an empty one: a --home that was never up, or CREATE DATABASE and"
            " TUBEGRADER_DATABASE_URL",
        )
    store = NamedStore.from_url(storage_url)
    _check_store(store, record)
    if same_installation:
        _check_alone(owner_url, record)
    with tempfile.TemporaryDirectory(prefix="tubegrader-") as folder:
        scratch = Path(folder)
        dump = fetch_dump(target, record, scratch, identity)
        with Catalog.of(target, scratch) as catalog:
            catalog.want(target.manifest(record, scratch))
            lost = catalog.lacking()
            if lost:
                raise PermanentError(
                    f"the backup is damaged: {lost:,} of its objects are in no pack",
                    reason="backupDamaged",
                    hint="`tubegrader backups verify`, or restore another one",
                )
            if dry_run:
                return Restored(
                    record.backup_id, None, record.schema, record.objects, record.missing, True
                )
            store.put_named(UNDER_WAY, json.dumps({"backup_id": record.backup_id}).encode())
            _put_objects(target, catalog, store, scratch, identity, progress)
        progress(record.objects, record.objects, "restoring the database")
        _make_roles(owner_url)
        _put_rows(program, dump, owner_url, scratch)
    own = UUID(record.installation_id)
    if not same_installation:
        own = snapshots.stand_apart(owner_url, pause=APART)
    store.set_marker(Marker(own, now).to_bytes())
    store.delete_named([UNDER_WAY])
    # At the end, since it takes its time: whoever stops it is not left with a twin of what lives.
    progress(record.objects, record.objects, "analysing the database")
    with connect(owner_url) as connection:
        connection.execute("ANALYZE")
    log.info("backup.restored", backup=record.backup_id, installation=str(own))
    return Restored(
        record.backup_id, str(own), record.schema, record.objects, record.missing, False
    )


def _check_store(store: NamedStore, record: Record) -> None:
    marker = store.marker()
    if marker is not None:
        whose = Marker.from_bytes(marker).installation_id
        raise UsageError(
            f"the object store belongs to installation {whose}, which may live: nothing was "
            "restored",
            reason="livingInstallation",
            hint="name an empty store by TUBEGRADER_STORAGE_URL, or a new --home",
        )
    try:
        begun = json.loads(store.get_named(UNDER_WAY))["backup_id"]
    except PermanentError:
        begun = None
    if begun != record.backup_id and not store.is_empty():
        raise UsageError(
            "the object store is not empty"
            if begun is None
            else f"the object store is being filled from the backup {begun}",
            reason="storeNotEmpty",
            hint="name an empty one by TUBEGRADER_STORAGE_URL, or a new --home",
        )


def _check_alone(owner_url: str, record: Record) -> None:
    """See that the installation does not live in another database of the server.

    Raises:
        UsageError: It does.
    """
    for database in snapshots.neighbours(owner_url):
        url = make_url(owner_url).set(database=database)
        try:
            found = snapshots.installation_of(url.render_as_string(hide_password=False))
        except SQLAlchemyError as error:
            log.info("restore.not_looked_into", database=database, problem=str(error))
            continue
        if str(found) == record.installation_id:
            raise UsageError(
                f"installation {record.installation_id} lives in the database {database}",
                reason="livingInstallation",
                hint="leave out --same-installation, or drop that database first",
            )


def _put_objects(
    target: Target,
    catalog: Catalog,
    store: ObjectStore,
    scratch: Path,
    identity: Path | None,
    progress: Progress,
) -> None:
    packs = catalog.packs_wanted()
    done, total = 0, sum(packs.values())
    for pack in packs:
        progress(done, total, "restoring objects")
        plain = open_pack(target, pack, scratch, identity)
        if plain is None:
            raise UsageError(
                "the backup is encrypted",
                reason="noIdentity",
                hint="name the file with the secret key by --identity",
            )
        batch: list[Place] = []
        with plain.open("rb") as file:
            for place in catalog.wanted_of(pack):
                batch.append(place)
                if sum(each.size for each in batch) >= PACK_BYTES:
                    _put(store, file, batch, scratch)
                    batch = []
            _put(store, file, batch, scratch)
        done += packs[pack]
    progress(done, total, "restoring objects")


def _put(store: ObjectStore, file: IO[bytes], places: Sequence[Place], scratch: Path) -> None:
    """Put stretches of a file into the store; a pack has a large one to itself.

    Raises:
        PermanentError: One does not hold what it is to hold.
    """
    if len(places) == 1 and places[0].size > LARGE:
        path = scratch / "large.object"
        file.seek(places[0].offset)
        with path.open("wb") as out:
            shutil.copyfileobj(file, out, 2**20)
        names = [store.put_file(path)]
        path.unlink()
    else:
        contents = []
        for place in places:
            file.seek(place.offset)
            contents.append(file.read(place.size))
        names = store.put_many(contents)
    if names != [place.name.hex() for place in places]:
        raise PermanentError(
            "a pack does not hold what its index says",
            reason="backupDamaged",
            hint="`tubegrader backups verify` says more",
        )


def _make_roles(owner_url: str) -> None:
    try:
        make_roles(owner_url)
    except ProgrammingError as error:
        raise UsageError(
            f"the roles that the backup grants to cannot be made: {error.orig}",
            reason="noRoles",
            hint="have an administrator make tubegrader_app and tubegrader_analyst first",
        ) from error


def _put_rows(program: Path, dump: Path, owner_url: str, scratch: Path) -> None:
    contents = scratch / "contents"
    pipe([[program, "--list", dump]], target=contents)
    # Who grants by default is called otherwise here; grant_roles() says it again.
    lines = contents.read_text("utf-8").splitlines(keepends=True)
    contents.write_text("".join(line for line in lines if " DEFAULT ACL " not in line), "utf-8")
    command: list[str | Path] = [program, "--no-owner", "--single-transaction", "--exit-on-error"]
    command += [f"--use-list={contents}", "--no-password"]
    command += [f"--dbname={without_password(owner_url)}", dump]
    pipe([command], env=password_of(owner_url))
