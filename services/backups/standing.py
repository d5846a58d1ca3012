"""Which backups there are, how old the newest good one is, and the job that makes one."""

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog

from services.backups.checking import verify
from services.backups.creating import create
from services.backups.encryption import Recipients
from services.backups.pruning import Keep, prune
from services.backups.target import Record, Target
from services.context import Context
from services.errors import PermanentError, TransientError, UsageError
from services.settings import Settings
from services.work.jobs import JobHandle

log = structlog.get_logger()

OVERDUE = timedelta(days=2)
"""Who backs up daily and has missed one wants to know."""
SAMPLE = 0.05
"""The share of the packs that a scheduled backup reads again, beside its dump and list."""


@dataclass(frozen=True)
class Listed:
    """A backup as a front door shows it.

    Attributes:
        backup_id: Its id.
        created_at: The moment that it shows.
        installation_id: Whose.
        schema: The revision of its database.
        bytes: Of the dump and of its objects, before these were packed.
        objects: How many.
        new_bytes: What it added to the target, beside the dump.
        missing: Objects that the store did not have.
        encrypted: Whether it is.
        state: ``checked``, ``unchecked`` or ``damaged``.
        checked_at: When it was last read again.
    """

    backup_id: str
    created_at: datetime
    installation_id: str | None
    schema: str | None
    bytes: int
    objects: int
    new_bytes: int
    missing: int
    encrypted: bool
    state: str
    checked_at: datetime | None

    def as_json(self) -> dict[str, Any]:
        """Return plain values for ``--json``."""
        return {k: v.isoformat() if isinstance(v, datetime) else v for k, v in asdict(self).items()}


@dataclass(frozen=True)
class Standing:
    """How backups stand.

    Attributes:
        target: Where they are kept; None: nowhere.
        newest: The moment of the newest.
        newest_checked: Of the newest that was read again and is whole.
        problem: What is wrong; None: nothing.
    """

    target: str | None
    newest: datetime | None = None
    newest_checked: datetime | None = None
    problem: str | None = None

    @property
    def line(self) -> str:
        """What is to be said of it."""
        if self.problem is not None or self.newest_checked is None:
            return self.problem or "none was read again"
        return f"the newest that was read again is of {self.newest_checked:%Y-%m-%d %H:%M} UTC"

    def as_json(self) -> dict[str, Any]:
        """Return plain values for ``--json``."""
        return {k: v.isoformat() if isinstance(v, datetime) else v for k, v in asdict(self).items()}


def target_of(settings: Settings, where: str | None = None) -> Target:
    """Return where backups are kept.

    Args:
        settings: Say so, unless somebody says otherwise.
        where: A folder or an address.

    Raises:
        UsageError: Nobody does (``noTarget``), or it cannot be opened.
    """
    url = where or settings.backup_url
    if url is None:
        raise UsageError(
            "nobody says where backups are kept",
            reason="noTarget",
            hint="--at FOLDER or --at s3://bucket/prefix, or set TUBEGRADER_BACKUP_URL",
        )
    return Target.of(url)


def recipients_of(settings: Settings) -> Recipients:
    """Return for whom scheduled backups are encrypted."""
    file = settings.backup_recipients
    return Recipients(files=() if file is None else (file,))


def listed(target: Target) -> list[Listed]:
    """Return the backups, the newest first; those whose record is damaged too."""
    return [_listed(target, backup_id) for backup_id in reversed(target.ids())]


def _listed(target: Target, backup_id: str) -> Listed:
    try:
        record = target.record(backup_id)
    except PermanentError:
        moment = datetime.strptime(backup_id[:15] + "+0000", "%Y%m%dT%H%M%S%z")
        return Listed(backup_id, moment, None, None, 0, 0, 0, 0, False, "damaged", None)
    state, checked_at = _state(target, record)
    return Listed(
        backup_id,
        record.moment,
        record.installation_id,
        record.schema,
        record.dump_bytes + record.object_bytes,
        record.objects,
        record.new_bytes,
        record.missing,
        record.encrypted,
        state,
        checked_at,
    )


def _state(target: Target, record: Record) -> tuple[str, datetime | None]:
    checked = target.checked(record.backup_id)
    if checked is None:
        return "unchecked", None
    return ("checked" if checked["clean"] else "damaged"), datetime.fromisoformat(checked["at"])


def standing(settings: Settings, *, now: datetime) -> Standing:
    """Return how backups stand, without a database."""
    if settings.backup_url is None:
        return Standing(None, problem="none are made: TUBEGRADER_BACKUP_URL says where to")
    try:
        found = listed(Target.of(settings.backup_url, hurried=True))
    except (PermanentError, TransientError) as error:
        # A bucket's errors go on for pages.
        return Standing(settings.backup_url, problem=str(error).partition("\n")[0])
    newest = max((each.created_at for each in found), default=None)
    good = max((each.created_at for each in found if each.state == "checked"), default=None)
    if newest is None:
        problem = "there is none yet"
    elif found[0].state == "damaged":
        problem = "the newest is damaged: `tubegrader backups verify`, then make another one"
    elif now - newest > OVERDUE:
        problem = f"the newest is {(now - newest).days} days old"
    elif good is None or now - good > OVERDUE:
        problem = "none of the last days was read again: `tubegrader backups verify`"
    else:
        problem = None
    return Standing(settings.backup_url, newest, good, problem)


def work(context: Context, job: JobHandle) -> dict[str, Any]:
    """Do a job of backup: make one, read it again, and let go of old ones.

    Returns:
        What was made, found and let go of.

    Raises:
        PermanentError: What was written is damaged already (``backupDamaged``).
    """
    target = target_of(context.settings)
    made = create(context, target, recipients_of(context.settings), progress=job.progress)
    assert made.backup_id is not None, "only a dry run writes none"
    found = verify(
        target, [made.backup_id], now=context.clock(), sample=SAMPLE, progress=job.progress
    )
    if not found.clean:
        raise PermanentError(
            f"the backup {made.backup_id} is damaged: {', '.join(found.damaged[:3])}",
            reason="backupDamaged",
            hint="check the disk or bucket, then make another one",
        )
    keep = Keep(
        daily=context.settings.backup_keep_daily, weekly=context.settings.backup_keep_weekly
    )
    pruned = prune(context, target, keep, dry_run=False)
    return {"made": made.as_json(), "checked": found.as_json(), "pruned": pruned.as_json()}
