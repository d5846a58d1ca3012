"""What can go wrong, sorted by what to do about it.

Every failure that leaves a service is one of four: *permanent* (asking again cannot help),
*transient* (ask again soon), *quota* (ask again when the quota resets) or *blocked* (the other
side refuses us; stop asking for a while). ``reason`` is a short stable word to count by.
"""

from datetime import datetime
from typing import ClassVar


class TubeGraderError(Exception):
    """Base of all expected failures.

    Attributes:
        kind: Which of the four kinds; stored beside ``reason`` on the item that failed.
        reason: A stable word such as ``channelClosed``, for counting and retrying by reason.
        hint: What the user can do, or None. Front doors print it under the message.
    """

    kind: ClassVar[str] = "permanent"

    def __init__(self, message: str, *, reason: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.hint = hint


class PermanentError(TubeGraderError):
    """Asking again cannot help: gone, closed, forbidden, malformed."""


class UsageError(PermanentError):
    """The user asked for something impossible; the message says what to do instead."""

    def __init__(self, message: str, *, hint: str | None = None, reason: str = "usage") -> None:
        super().__init__(message, reason=reason, hint=hint)


class NotFoundError(UsageError):
    """What was named does not exist, such as a job with this id."""


class TransientError(TubeGraderError):
    """Ask again soon: timeouts, resets, 5xx."""

    kind = "transient"


class InfrastructureError(TransientError):
    """Our own database, broker or disk failed: it counts against nobody and nothing."""


class HostError(InfrastructureError):
    """This machine lacks what the work needs; another one may have it."""


class HostDiskError(HostError):
    """This machine's disk is full or cannot be written: it can do nothing, whatever it is sent."""


class OtherHereError(HostError):
    """What a model was made with is another one here. Where it is so everywhere waiting is vain."""


class BusyError(TransientError):
    """Somebody else is at it. Waiting for them is no failed attempt, however long it takes."""


class QuotaError(TubeGraderError):
    """The quota is used up; nothing more is possible before ``reset_at`` (UTC)."""

    kind = "quota"

    def __init__(
        self,
        message: str,
        *,
        reset_at: datetime,
        reason: str = "quotaExceeded",
        hint: str | None = None,
    ) -> None:
        super().__init__(message, reason=reason, hint=hint)
        self.reset_at = reset_at


class BlockedError(TubeGraderError):
    """The other side refuses us (rate limit, key refused); the whole queue should pause."""

    kind = "blocked"
