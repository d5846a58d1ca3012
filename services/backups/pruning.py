"""Letting go of old backups, and of what no other one needs."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

import structlog

from db.queries.installation import installation_id
from services.backups.catalog import Catalog
from services.backups.creating import alone, scratch_folder
from services.backups.target import Record, Target
from services.context import Context
from services.errors import BusyError, UsageError

log = structlog.get_logger()

SETTLED = timedelta(days=7)
"""What is younger may be of a backup that another installation is making here, over days."""
_AHEAD = timedelta(days=1)
"""By so much may clocks differ."""


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

    def chosen(self, records: Sequence[Record], *, now: datetime) -> set[str]:
        """Return the ids of those of the backups that stay.

        Those of the future, made while a clock was wrong, stay and are not counted: as the newest
        they would drive out every one that is made from now on.
        """
        ordered = sorted(records, key=lambda each: each.moment, reverse=True)
        future = [each for each in ordered if each.moment > now + _AHEAD]
        ordered = ordered[len(future) :]
        kept = {each.backup_id for each in (*future, *ordered[: max(self.newest, 1)])}
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


def prune(
    context: Context,
    target: Target,
    keep: Keep,
    *,
    dry_run: bool,
    installation: str | None = None,
) -> Pruned:
    """Let go of an installation's backups, then of packs, dumps and lists that no other one needs.

    Those of other installations stay, whatever is asked to be kept. Each backup that stays keeps
    all of its packs, whichever backup wrote them; where some of its objects are in no pack that is
    known of, packs that nobody can say of what they hold stay, too. Records go first: a run that is
    killed leaves what nobody needs to the next.

    Args:
        context: The database, whose backups are held off meanwhile, and the time.
        target: Where backups lie.
        keep: Which stay.
        dry_run: Only say what would go.
        installation: Whose backups, by its id; None: the database's.

    Raises:
        UsageError: Less than one would stay, by what was asked, or the target is a store.
        PermanentError: The list of a backup that stays is damaged: nothing is deleted.
        BusyError: A backup is being made, or was made by another installation meanwhile.
    """
    if min(keep.newest, keep.daily, keep.weekly) < 0:
        raise UsageError("the number of backups that stay cannot be negative")
    target.check_apart(str(context.settings.storage_url))
    if installation is None:
        with context.transaction() as session:
            installation = str(installation_id(session))
    with alone(context), scratch_folder(context) as scratch, Catalog.of(target, scratch) as catalog:
        records = [target.record(backup_id) for backup_id in target.ids()]
        own = [record for record in records if record.installation_id == installation]
        going = {each.backup_id for each in own} - keep.chosen(own, now=context.clock())
        stay = [record for record in records if record.backup_id not in going]
        done = Pruned(
            [record.backup_id for record in stay],
            sorted(going),
            dry_run=dry_run,
        )
        for record in stay:
            catalog.want(target.manifest(record, scratch))
        needed = set(catalog.packs_wanted())
        needed.update(name for record in stay for name in (record.dump, record.manifest))
        known = set(catalog.packs())
        sure: set[str] | None = None
        if lost := catalog.lacking():
            log.warning("backup.packs_left", lost_objects=lost)
            gone = [record for record in records if record.backup_id in going]
            sure = known.union(*((record.dump, record.manifest) for record in gone))
        if not dry_run:
            for backup_id in done.removed:
                target.remove(backup_id)
        _sweep(_Sweep(context.clock(), target, needed, known, sure), done)
    return done


@dataclass(frozen=True)
class _Sweep:
    """What goes: whatever is not needed; or of that only what it is sure of.

    Attributes:
        known: Packs whose index is whole.
        sure: None: of everything.
    """

    now: datetime
    target: Target
    needed: set[str]
    known: set[str]
    sure: set[str] | None


def _sweep(run: _Sweep, done: Pruned) -> None:
    target, indexed = run.target, set(run.target.packs())
    there = {*done.kept, *done.removed}
    for page in target.store.names_before(run.now - SETTLED):
        unneeded = [
            name
            for name in page
            if name not in run.needed and (run.sure is None or name in run.sure)
        ]
        packs = [name for name in unneeded if name in indexed]
        if unneeded and not done.dry_run:
            held = {pack: target.index(pack) for pack in packs if pack in run.known}
            target.drop_indexes(packs)  # first: an index says that the pack is there
            if not there.issuperset(target.ids()):
                for pack, places in held.items():
                    target.put_index(pack, places)
                raise BusyError(
                    "another installation made a backup here meanwhile",
                    reason="backupUnderWay",
                    hint="prune again",
                )
            target.store.delete_many(unneeded)
        done.packs += len(packs)
        done.files += len(unneeded)
