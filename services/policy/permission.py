"""May audio be taken and held? By an approval in the ledger, or by a local setting."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from db.queries.policy import approvals
from db.queries.speech import selections
from db.queries.speech.clips import Standing
from services.errors import PermanentError
from services.settings import Settings


@dataclass(frozen=True)
class Permission:
    """What allows audio to be taken: ``approval`` with its reference, or ``setting``."""

    allowed_by: str
    reference: str | None = None


def permissions(
    session: Session, settings: Settings, channel_ids: Collection[str], *, now: datetime
) -> dict[str, Permission]:
    """Return the permission for each channel that has one at this moment.

    The setting goes before the ledger: who says that the material is their own needs no approval.
    """
    if settings.audio_allowed:
        return dict.fromkeys(channel_ids, Permission("setting"))
    found: dict[str, Permission] = {}
    for approval in approvals.approvals_in_force(session, "audio", now=now):
        given = Permission("approval", approval.reference)
        covered = channel_ids if approval.channel_id is None else {approval.channel_id}
        for channel_id in covered:
            if channel_id in channel_ids:
                found.setdefault(channel_id, given)
    return found


def standing(session: Session, settings: Settings, *, now: datetime) -> Standing:
    """Return for which channels audio that was taken under an approval may still be held."""
    found = approvals.approvals_in_force(session, "audio", now=now)
    everywhere = settings.audio_allowed or any(row.channel_id is None for row in found)
    return Standing(everywhere, tuple(row.channel_id for row in found if row.channel_id))


def not_allowed(n_channels: int) -> PermanentError:
    """Return the error for channels whose audio nothing allows to take."""
    what = "this channel" if n_channels == 1 else f"{n_channels} of the channels"
    return PermanentError(
        f"nothing allows audio of {what} to be taken",
        reason=selections.NO_APPROVAL,
        hint="record the permission: `tubegrader approvals add REFERENCE --scope audio "
        "[--channel UC…]`; for material of your own set TUBEGRADER_AUDIO_ALLOWED=true",
    )
