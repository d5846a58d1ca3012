"""Where backups lie: a folder or a bucket, which several backups share.

::

    backups/<id>.json     a record each: written last, so a backup is whole or is not there
    checked/<id>.json     when it was last read again
    indexes/<pack>.index  which objects a pack holds, and where in it
    ab/<sha256>           packs, dumps and manifests by the hash of what is stored, as encrypted

Records and indexes are in clear and hold hashes and sizes: a host that has only the public key goes
on incrementally, and whoever has no key at all can see whether all is whole.
"""

import hashlib
import json
import re
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from services.errors import NotFoundError, PermanentError, UsageError
from services.storage import SCHEMES
from services.storage_named import NamedStore

NAME_BYTES = 32
_ID = re.compile(r"\d{8}T\d{6}-[0-9a-f]{6}")
_SHA256 = re.compile("[0-9a-f]{64}")
FORMAT = 1
"""Of records; one that is newer is not read."""


@dataclass(frozen=True)
class Record:
    """A backup.

    Attributes:
        backup_id: Begins with its moment, so that ids sort by it.
        created_at: The moment that it shows.
        finished_at: When all of it was there.
        installation_id: Whose.
        schema: The revision of the database.
        server_version: PostgreSQL's, such as 180004.
        dump_version: The major version of the pg_dump that wrote it.
        encrypted: Whether dump and packs are.
        dump: The stored dump's SHA-256.
        dump_bytes: Its size.
        manifest: The SHA-256 of the list of objects: 32 bytes each, in order.
        objects: How many it lists.
        object_bytes: How large they are together.
        new_objects: How many no earlier backup had.
        new_bytes: What they took, as stored.
        missing: Objects that rows spoke of and the store did not have.
        format: Of the record.
    """

    backup_id: str
    created_at: str
    finished_at: str
    installation_id: str
    schema: str
    server_version: int
    dump_version: int
    encrypted: bool
    dump: str
    dump_bytes: int
    manifest: str
    objects: int
    object_bytes: int
    new_objects: int
    new_bytes: int
    missing: int
    format: int = FORMAT

    @property
    def moment(self) -> datetime:
        """The moment that it shows."""
        return datetime.fromisoformat(self.created_at)

    def to_bytes(self) -> bytes:
        """Return it with a checksum."""
        content = asdict(self)
        return json.dumps({**content, "checksum": _checksum(content)}, indent=1).encode()

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """Read a record.

        Raises:
            PermanentError: It is damaged (``backupDamaged``), or of a newer TubeGrader.
        """
        try:
            found = json.loads(content)
            checksum = found.pop("checksum")
            whole = checksum == _checksum(found)
        except (ValueError, AttributeError, KeyError, TypeError):
            whole = False
        if not whole:
            raise PermanentError("a record of a backup is damaged", reason="backupDamaged")
        if found["format"] > FORMAT:
            raise PermanentError(
                "the backup was made by a newer TubeGrader",
                reason="backupNewer",
                hint="update TubeGrader",
            )
        if not all(_SHA256.fullmatch(str(found[name])) for name in ("dump", "manifest")):
            # They become names of files; whoever can write here can write a checksum, too.
            raise PermanentError("a record of a backup names no object", reason="backupDamaged")
        return cls(**{field.name: found[field.name] for field in fields(cls)})


@dataclass(frozen=True)
class Place:
    """Where an object lies in a pack."""

    name: bytes
    offset: int
    size: int


class Target:
    """A folder or bucket with backups."""

    def __init__(self, store: NamedStore, url: str) -> None:
        self.store = store
        self.url = url

    @classmethod
    def of(cls, where: str, *, hurried: bool = False) -> Self:
        """Open a target by URL or as a folder; hurried: for who cannot wait for its answers.

        Raises:
            UsageError: It cannot be opened.
        """
        url = where if where.startswith(SCHEMES) else Path(where).expanduser().absolute().as_uri()
        if "://" in where and url != where:
            raise UsageError(
                f"backups cannot be kept at {where}", hint="name a folder, or s3://bucket/prefix"
            )
        return cls(NamedStore.hurried(url) if hurried else NamedStore.from_url(url), url)

    def ids(self) -> list[str]:
        """Return the ids of the backups, the oldest first."""
        names = (name.removesuffix(".json") for name in self.store.named("backups"))
        return sorted(name for name in names if _ID.fullmatch(name))

    def record(self, backup_id: str) -> Record:
        """Return the record of a backup.

        Raises:
            NotFoundError: There is none with this id.
            PermanentError: It is damaged.
        """
        try:
            return Record.from_bytes(self.store.get_named(_record(backup_id)))
        except PermanentError as error:
            if error.reason != "objectMissing":
                raise PermanentError(
                    f"{error}: {backup_id}",
                    reason=error.reason,
                    hint=error.hint or f"to go on without it, delete {_record(backup_id)} there",
                ) from error
            raise NotFoundError(
                f"there is no backup {backup_id} at {self.url}",
                hint="`tubegrader backups list` shows them",
            ) from error

    def find(self, name: str) -> Record:
        """Return the backup whose id begins with a name, or the ``newest``.

        Raises:
            NotFoundError: None or several do.
        """
        ids = self.ids()
        found = ids[-1:] if name == "newest" else [i for i in ids if i.startswith(name)]
        if len(found) != 1:
            problem = "no backup" if not found else "more than one backup"
            raise NotFoundError(
                f"{problem} at {self.url} is called “{name}”",
                hint="`tubegrader backups list` shows them",
            )
        return self.record(found[0])

    def add(self, record: Record) -> None:
        """Write a record: from now on there is this backup."""
        self.store.put_named(_record(record.backup_id), record.to_bytes())

    def remove(self, backup_id: str) -> None:
        """Let go of a backup; what only it needed is left behind."""
        self.store.delete_named([_record(backup_id), f"checked/{backup_id}.json"])

    def manifest(self, record: Record, scratch: Path) -> Iterator[bytes]:
        """Yield the names of a backup's objects, in order.

        Args:
            record: The backup's.
            scratch: A folder to put the list into meanwhile.

        Raises:
            PermanentError: The list is missing or damaged.
        """
        path = scratch / record.manifest
        self.store.get_file(record.manifest, path)
        with path.open("rb") as file:
            while name := file.read(NAME_BYTES):
                yield name
        path.unlink()

    def packs(self) -> list[str]:
        """Return the packs that have an index."""
        names = (name.removesuffix(".index") for name in self.store.named("indexes"))
        return sorted(name for name in names if _SHA256.fullmatch(name))

    def lacking(self, packs: Collection[str], files: Collection[str]) -> set[str]:
        """Return which of some packs and other files are not there, or packs without an index."""
        return (set(packs) - set(self.packs())) | ({*packs, *files} - set(self.store.names()))

    def check_apart(self, store_url: str) -> None:
        """See that no installation keeps its objects here: pruning would delete them.

        Raises:
            UsageError: It is (``targetIsStore``), or lies in it or around it.
        """
        own, other = (f"{url.rstrip('/')}/" for url in (self.url, store_url))
        nested = own.startswith(other) or other.startswith(own)
        if nested or self.store.marker() is not None:
            raise UsageError(
                f"{self.url} is where an installation keeps its objects",
                reason="targetIsStore",
                hint="keep backups in another folder, or below another prefix of the bucket",
            )

    def put_index(self, pack: str, places: list[Place]) -> None:
        """Say what a pack holds, once it is there."""
        lines = "".join(f"{p.name.hex()} {p.offset} {p.size}\n" for p in places).encode()
        self.store.put_named(
            _index(pack), hashlib.sha256(lines).hexdigest().encode() + b"\n" + lines
        )

    def index(self, pack: str) -> list[Place]:
        """Return what a pack holds.

        Raises:
            PermanentError: Nobody says so (``objectMissing``), or the index is damaged.
        """
        checksum, _, lines = self.store.get_named(_index(pack)).partition(b"\n")
        if hashlib.sha256(lines).hexdigest().encode() != checksum:
            raise PermanentError(f"the index of pack {pack} is damaged", reason="backupDamaged")
        places = []
        for line in lines.decode().splitlines():
            name, offset, size = line.split()
            places.append(Place(bytes.fromhex(name), int(offset), int(size)))
        return places

    def drop_indexes(self, packs: list[str]) -> None:
        """Say no more that packs are there: the next backup copies again what they held."""
        self.store.delete_named([_index(pack) for pack in packs])

    def note_checked(self, backup_id: str, found: dict[str, Any]) -> None:
        """Note when a backup was read again, and what was found."""
        self.store.put_named(f"checked/{backup_id}.json", json.dumps(found).encode())

    def checked(self, backup_id: str) -> dict[str, Any] | None:
        """Return what was noted when a backup was last read again."""
        if backup_id not in self._checked:
            return None
        try:
            found = json.loads(self.store.get_named(f"checked/{backup_id}.json"))
            datetime.fromisoformat(found["at"])
        except (PermanentError, ValueError, KeyError, TypeError):
            return None  # not known any more is not checked
        return {"clean": False, **found}

    @cached_property
    def _checked(self) -> set[str]:
        return {name.removesuffix(".json") for name in self.store.named("checked")}


def _record(backup_id: str) -> str:
    return f"backups/{backup_id}.json"


def _index(pack: str) -> str:
    # With an ending, so that a walk over what has hashes for names leaves it out.
    return f"indexes/{pack}.index"


def _checksum(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
