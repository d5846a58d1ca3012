"""Letting go of old backups, and of what no other one needs."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from services.backups.catalog import Catalog
from services.backups.creating import alone, scratch_folder
from services.backups.target import Record, Target
from services.context import Context
from services.errors import UsageError

SETTLED = timedelta(days=1)
"""What is younger may be of a backup that another installation is making here."""


@dataclass(frozen=True)
class Keep:
    """Which backups stay; the newest always does.

    Attributes:
        newest: So many.
        daily: The newest of each of so many days (UTC) that have one.
        weekly: The newest of each of so many weeks that have one.
    """

    newest: int = 1
    daily: int = 0
    weekly: int = 0

    def chosen(self, records: Sequence[Record]) -> set[str]:
        """Return the ids of those of the backups that stay."""
        ordered = sorted(records, key=lambda each: each.moment, reverse=True)
        kept = {each.backup_id for each in ordered[: max(self.newest, 1)]}
        for number, form in ((self.daily, "%Y-%m-%d"), (self.weekly, "%G-%V")):
            newest_of: dict[str, str] = {}
            for each in ordered:
                newest_of.setdefault(each.moment.strftime(form), each.backup_id)
            kept.update(list(newest_of.values())[:number])
        return kept


@dataclass
class Pruned:
    """What is gone, or would be.

    Attributes:
        kept: Ids of the backups that stay.
        removed: Of those that go.
        packs: Packs that no backup needs any more.
        files: Packs, dumps and lists that were deleted.
        dry_run: Whether nothing was.
    """

    kept: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    packs: int = 0
    files: int = 0
    dry_run: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return plain values for ``--json``."""
        return asdict(self)


def prune(context: Context, target: Target, keep: Keep, *, dry_run: bool) -> Pruned:
    """Let go of backups, then of packs, dumps and lists that no other one needs.

    Each backup that stays keeps all of its packs, whichever backup wrote them. Records go first: a
    run that is killed leaves what nobody needs to the next.

    Args:
        context: The database, whose backups are held off meanwhile, and the time.
        target: Where backups lie.
        keep: Which stay.
        dry_run: Only say what would go.

    Raises:
        UsageError: Less than one would stay, by what was asked.
        PermanentError: The list of a backup that stays is damaged: nothing is deleted.
        BusyError: A backup is being made.
    """
    if min(keep.newest, keep.daily, keep.weekly) < 0:
        raise UsageError("the number of backups that stay cannot be negative")
    with alone(context), scratch_folder(context) as scratch, Catalog.of(target, scratch) as catalog:
        records = [target.record(backup_id) for backup_id in target.ids()]
        kept = keep.chosen(records)
        stay = [record for record in records if record.backup_id in kept]
        done = Pruned(
            [record.backup_id for record in stay],
            [record.backup_id for record in records if record.backup_id not in kept],
            dry_run=dry_run,
        )
        for record in stay:
            catalog.want(target.manifest(record, scratch))
        needed = set(catalog.packs_wanted())
        needed.update(name for record in stay for name in (record.dump, record.manifest))
        if not dry_run:
            for backup_id in done.removed:
                target.remove(backup_id)
        _sweep(context.clock(), target, needed, done)
    return done


def _sweep(now: datetime, target: Target, needed: set[str], done: Pruned) -> None:
    indexed = set(target.packs())
    for page in target.store.names_before(now - SETTLED):
        unneeded = [name for name in page if name not in needed]
        packs = [name for name in unneeded if name in indexed]
        done.packs += len(packs)
        done.files += len(unneeded)
        if not done.dry_run:
            target.drop_indexes(packs)  # first: an index says that the pack is there
            target.store.delete_many(unneeded)
