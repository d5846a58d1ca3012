"""Deleting objects beside a backup: what it is about to copy stays until it has."""

from collections.abc import Collection
from typing import Final

from sqlalchemy.orm import Session

from db.locks import shared_lock
from services.errors import BusyError
from services.storage import ObjectStore

BACKUP: Final = "backup"
"""The lock that a backup holds alone and whoever deletes objects shares, each while it does."""


def hold_off_backups(session: Session) -> None:
    """Have no backup begin until the transaction ends.

    Raises:
        BusyError: One is being made (``backupUnderWay``).
    """
    if not shared_lock(session, BACKUP):
        raise BusyError(
            "a backup is being made, which is to have these objects",
            reason="backupUnderWay",
            hint="they go with the next purge after it has ended",
        )


def let_go(session: Session, store: ObjectStore, names: Collection[str]) -> None:
    """Delete objects that no row speaks of any more.

    While a backup is made they are put into quarantine instead, out of which it reads them.

    Raises:
        TransientError: The store did not answer.
    """
    if shared_lock(session, BACKUP):
        store.delete_many(names)
    else:
        store.quarantine(names)
