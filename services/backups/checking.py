"""Reading backups again: every checksum, or a sample of them."""

import hashlib
import random
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import structlog

from services.backups.catalog import Catalog
from services.backups.encryption import decrypt
from services.backups.programs import pipe, postgres_program
from services.backups.target import Place, Record, Target
from services.errors import PermanentError, UsageError

log = structlog.get_logger()

Progress = Callable[[int, int, str], None]


def _quiet(_done: int, _total: int, _what: str) -> None:
    pass


@dataclass
class Verified:
    """What was found of some backups.

    Attributes:
        backups: Their ids.
        packs: How many packs they need.
        packs_read: How many of them were read: fewer in a sample.
        objects_read: Objects in those whose own checksum was compared, too; of what is encrypted,
            only with the identity.
        damaged: What does not hold what was put there, or is not there.
        lost_objects: Objects of the backups that no whole pack has.
    """

    backups: list[str] = field(default_factory=list)
    packs: int = 0
    packs_read: int = 0
    objects_read: int = 0
    damaged: list[str] = field(default_factory=list)
    lost_objects: int = 0

    @property
    def clean(self) -> bool:
        """Tell whether all is whole."""
        return not self.damaged and not self.lost_objects

    def as_json(self) -> dict[str, Any]:
        """Return plain values for ``--json``."""
        return {**asdict(self), "clean": self.clean}


def verify(
    target: Target,
    names: Sequence[str],
    *,
    now: datetime,
    sample: float = 1.0,
    identity: Path | None = None,
    progress: Progress = _quiet,
) -> Verified:
    """Read backups again and compare every checksum; note what was found beside them.

    Wants neither the database nor the store. A pack that is damaged is not counted on any more:
    the next backup copies again what it held, as far as the store still has it, and so heals the
    earlier ones, too.

    Args:
        target: Where backups lie.
        names: By what their ids begin, or ``newest``; empty: all of them.
        now: Noted beside them.
        sample: The share of the packs that is read; dumps and lists always are.
        identity: A file with the secret key, to look into what is encrypted.
        progress: Told packs read, of how many, and what is done; may raise to stop.

    Raises:
        UsageError: There is no such backup, or the identity is another one's.
        TransientError: The target did not answer.
    """
    if not 0 < sample <= 1:
        raise UsageError("a sample is a share above 0, at most 1", hint="such as --sample 0.1")
    found = Verified()
    with tempfile.TemporaryDirectory(prefix="tubegrader-") as folder:
        scratch = Path(folder)
        records = _records(target, names, found)
        with Catalog.of(target, scratch) as catalog:
            for record in records:
                _check_record(target, record, catalog, found, scratch, identity)
            _check_packs(target, records, catalog, found, scratch, sample, identity, progress)
            found.lost_objects = catalog.lacking()
    for record in records:
        target.note_checked(
            record.backup_id,
            {"at": now.isoformat(), "clean": found.clean, "sample": sample},
        )
    return found


def _records(target: Target, names: Sequence[str], found: Verified) -> list[Record]:
    records = []
    for name in names or target.ids():
        try:
            record = target.find(name)
        except PermanentError as error:
            if isinstance(error, UsageError):
                raise
            found.damaged.append(f"record {name}")
            continue
        if record.backup_id not in found.backups:
            records.append(record)
            found.backups.append(record.backup_id)
    return records


def _check_record(
    target: Target,
    record: Record,
    catalog: Catalog,
    found: Verified,
    scratch: Path,
    identity: Path | None,
) -> None:
    if not _is_whole(target, record.dump):
        found.damaged.append(f"dump {record.dump}")
    elif not record.encrypted or identity is not None:
        _read_dump(target, record, found, scratch, identity)
    try:
        catalog.want(target.manifest(record, scratch))
    except PermanentError:
        found.damaged.append(f"manifest {record.manifest}")


def _read_dump(
    target: Target, record: Record, found: Verified, scratch: Path, identity: Path | None
) -> None:
    """See that pg_restore can read what is in a dump."""
    dump = fetch_dump(target, record, scratch, identity)
    try:
        pipe([[postgres_program("pg_restore", record.dump_version), "--list", dump]])
    except UsageError as error:
        log.warning("backup.dump_not_listed", problem=str(error))
    except PermanentError:
        found.damaged.append(f"dump {record.dump}")
    dump.unlink()


def fetch_dump(target: Target, record: Record, scratch: Path, identity: Path | None) -> Path:
    """Return a file with a backup's dump, as pg_restore reads it.

    Raises:
        PermanentError: It is missing or damaged, or cannot be decrypted.
    """
    stored, dump = scratch / "stored.dump", scratch / "dump"
    target.store.get_file(record.dump, stored)
    decrypt(stored, dump, encrypted=record.encrypted, identity=identity)
    stored.unlink()
    return dump


def _check_packs(
    target: Target,
    records: Sequence[Record],
    catalog: Catalog,
    found: Verified,
    scratch: Path,
    sample: float,
    identity: Path | None,
    progress: Progress,
) -> None:
    packs = sorted(catalog.packs_wanted())
    found.packs = len(packs)
    if sample < 1:
        chosen = random.SystemRandom().sample(packs, max(1, round(sample * len(packs))))
        packs = sorted(chosen) if packs else []
    any_plain = any(not record.encrypted for record in records)
    for n, pack in enumerate(packs):
        progress(n, len(packs), "reading packs")
        found.packs_read += 1
        whole = _is_whole(target, pack)
        if whole and (identity is not None or any_plain):
            whole = _objects_whole(target, pack, catalog.wanted_of(pack), found, scratch, identity)
        if not whole:
            found.damaged.append(f"pack {pack}")
            catalog.forget(pack)
            target.drop_indexes([pack])
            log.warning("backup.pack_damaged", pack=pack)
    progress(len(packs), len(packs), "reading packs")


def _objects_whole(
    target: Target,
    pack: str,
    places: Sequence[Place],
    found: Verified,
    scratch: Path,
    identity: Path | None,
) -> bool:
    plain = open_pack(target, pack, scratch, identity)
    if plain is None:
        return True  # encrypted for others; as stored, it is whole
    with plain.open("rb") as file:
        for place in places:
            if not _holds(file, place):
                return False
            found.objects_read += 1
    return True


def _holds(file: Any, place: Place) -> bool:
    file.seek(place.offset)
    digest, left = hashlib.sha256(), place.size
    while left and (chunk := file.read(min(left, 2**20))):
        digest.update(chunk)
        left -= len(chunk)
    return not left and digest.digest() == place.name


def open_pack(target: Target, pack: str, scratch: Path, identity: Path | None) -> Path | None:
    """Return a file with a pack's content, until the next is opened; None if it is encrypted.

    Raises:
        UsageError: The identity is another one's.
        PermanentError: The pack is missing or damaged.
    """
    stored, plain = scratch / "stored.pack", scratch / "plain.pack"
    target.store.get_file(pack, stored)
    with stored.open("rb") as file:
        is_encrypted = file.read(len(_AGE)) == _AGE
    if not is_encrypted:
        stored.replace(plain)
        return plain
    if identity is None:
        return None
    decrypt(stored, plain, encrypted=True, identity=identity)
    stored.unlink()
    return plain


_AGE = b"age-encryption.org/"
"""How what age wrote begins."""


def _is_whole(target: Target, sha256: str) -> bool:
    try:
        return target.store.digest(sha256) == sha256
    except PermanentError:
        return False
