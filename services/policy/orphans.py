"""Objects that no row speaks of: put into quarantine, and deleted from it a week later.

Nobody waits meanwhile: whoever comes to speak of an object that was put away reads it all the same,
since reading brings it back, and what is deleted for good is looked up once more.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import structlog

from db.queries.policy import objects
from services.context import Context
from services.errors import PermanentError
from services.policy import ownership
from services.policy.deleting import hold_off_backups

log = structlog.get_logger()

AGE = timedelta(days=7)
"""An object that no row speaks of may be about to be: one that has lain so long is not."""
QUARANTINE = timedelta(days=7)
MOST_SHARE = 0.05
"""More than this share of a store left behind is more likely a wrong database than killed runs."""
FEW = 100
"""So few are left behind by runs that were killed, whatever their share."""


@dataclass
class Orphans:
    """What was found.

    Attributes:
        objects: In the store, old enough to be looked at.
        orphans: Of them, those that no row speaks of.
        deleted: From quarantine, for good; in a dry run those that would be.
    """

    objects: int = 0
    orphans: int = 0
    deleted: int = 0


def sweep(
    context: Context, *, dry_run: bool, force: bool, progress: Callable[[int], None]
) -> Orphans:
    """Put orphans into quarantine and delete those that have been there for long.

    Args:
        context: The database and the store.
        dry_run: Count and change nothing.
        force: Also where more of the store is left behind than killed runs explain.
        progress: Told how many orphans a page of the store had; may raise to stop.

    Raises:
        PermanentError: The store is not this database's (:mod:`services.policy.ownership`), or too
            much of it is left behind (``tooManyOrphans``).
        BusyError: A backup is being made.
        TransientError: The store did not answer; running it again goes on.
    """
    now = context.clock()
    ownership.check_own(context, before=now - AGE)
    found = Orphans()
    for names in context.store.names_before(now - AGE):
        found.objects += len(names)
        found.orphans += len(_orphans(context, names))
    too_many = found.orphans > max(FEW, MOST_SHARE * found.objects)
    if too_many and not force:
        raise PermanentError(
            f"no row speaks of {found.orphans:,} of {found.objects:,} objects in the store, more "
            f"than {MOST_SHARE:.0%}: nothing was deleted",
            reason="tooManyOrphans",
            hint="see whether the database is the right one and whole; if it is, "
            "`tubegrader data purge --kind orphans --yes --force`",
        )
    # Before more is put there: nothing is put away and deleted in one run, whatever the clocks say.
    found.deleted = _empty_quarantine(context, dry_run=dry_run)
    if not dry_run:
        for names in context.store.names_before(now - AGE):
            orphans = _orphans(context, names)
            context.store.quarantine(orphans)
            progress(len(orphans))
        if gone := context.store.delete_derived():
            log.info("purge.image_features_unpacked", objects=gone)
    return found


def _empty_quarantine(context: Context, *, dry_run: bool) -> int:
    deleted = 0
    for names in context.store.quarantined_before(context.clock() - QUARANTINE):
        orphans = _orphans(context, names)
        deleted += len(orphans)
        if not dry_run:
            context.store.bring_back(set(names) - orphans)
            with context.transaction() as session:
                hold_off_backups(session)
                context.store.delete_quarantined(orphans)
    return deleted


def _orphans(context: Context, names: list[str]) -> set[str]:
    with context.transaction() as session:
        return set(names) - objects.referenced_objects(session, names)
