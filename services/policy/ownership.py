"""Whose an object store is: what deletes objects checks first that it is this database's.

A database carries an installation's id, and so does a marker beside the objects. A fresh, restored
or mistyped database knows nothing of what others stored; without this check all of it would look
left behind.
"""

import itertools
import json
import uuid
from dataclasses import dataclass
from datetime import datetime

import structlog

from db.queries.installation import installation_id
from db.queries.policy import objects
from services.context import Context
from services.errors import PermanentError

log = structlog.get_logger()

SAMPLE = 2_000
"""Objects of a store without a marker that the database is asked about."""
KNOWN_SHARE = 0.95
"""A store is taken for the database's own if the database speaks of so many of them: an
installation of an earlier release has no marker, and few objects that were left behind."""


@dataclass(frozen=True)
class Marker:
    """What a store says of whose it is."""

    installation_id: uuid.UUID
    claimed_at: datetime

    def to_bytes(self) -> bytes:
        """Return the marker's content."""
        return json.dumps(
            {
                "installation_id": str(self.installation_id),
                "claimed_at": self.claimed_at.isoformat(),
            }
        ).encode()

    @classmethod
    def from_bytes(cls, content: bytes) -> "Marker":
        """Read a marker.

        Raises:
            PermanentError: It is damaged (``storeMarkerDamaged``).
        """
        try:
            found = json.loads(content)
            return cls(
                uuid.UUID(found["installation_id"]), datetime.fromisoformat(found["claimed_at"])
            )
        except (ValueError, TypeError, KeyError) as error:
            raise PermanentError(
                "the object store's installation.json cannot be read",
                reason="storeMarkerDamaged",
                hint="if the store is this database's, `tubegrader data purge --claim-store`",
            ) from error


def claim(context: Context) -> None:
    """Write into the store that it is this database's, whatever it said before."""
    with context.transaction() as session:
        own = installation_id(session)
    context.store.set_marker(Marker(own, context.clock()).to_bytes())
    log.info("store.claimed", installation=str(own))


def check_not_foreign(context: Context) -> None:
    """See that the store is not marked as another installation's.

    For deleting objects that rows of this database speak of: those are its own in a store without
    a marker, too.

    Raises:
        PermanentError: It is another's (``foreignStore``), or its marker is damaged.
        TransientError: The store did not answer.
    """
    content = context.store.marker()
    if content is None:
        return
    with context.transaction() as session:
        own = installation_id(session)
    found = Marker.from_bytes(content).installation_id
    if found != own:
        raise PermanentError(
            f"the object store belongs to installation {found}, this database to {own}: nothing "
            "was deleted",
            reason="foreignStore",
            hint="check TUBEGRADER_DATABASE_URL and TUBEGRADER_STORAGE_URL; if both are right, "
            "`tubegrader data purge --claim-store`",
        )


def check_own(context: Context, *, before: datetime) -> None:
    """See that the store is this database's; one without a marker is claimed if it plainly is.

    For deleting objects that no row speaks of: to another database that is all of them.

    Args:
        context: The database and the store.
        before: Objects that are younger say nothing: their rows may be about to be written.

    Raises:
        PermanentError: It is another's (``foreignStore``), or nobody's and the database knows too
            little of what is in it (``unclaimedStore``).
        TransientError: The store did not answer.
    """
    check_not_foreign(context)
    if context.store.marker() is not None:
        return
    pages = context.store.names_before(before)
    sample = list(itertools.islice(itertools.chain.from_iterable(pages), SAMPLE))
    with context.transaction() as session:
        known = len(objects.referenced_objects(session, sample))
    if known < KNOWN_SHARE * len(sample):
        raise PermanentError(
            f"the object store does not say whose it is, and this database speaks of {known:,} of "
            f"{len(sample):,} objects in it: nothing was deleted",
            reason="unclaimedStore",
            hint="check TUBEGRADER_DATABASE_URL and TUBEGRADER_STORAGE_URL; if both are right, "
            "`tubegrader data purge --claim-store`",
        )
    if sample:
        claim(context)
