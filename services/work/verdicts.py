"""When a verdict on an item is believed: that it is gone, missing, closed, refused or malformed.

The other side can say such a thing of everything: a login page of the network, a proxy, a bad day
of YouTube's. So a verdict ends nothing when it is first heard. It is in doubt until it was heard
again hours later, and until something else of the same kind was answered well: in the same batch,
or else, since it was first heard, in another one.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from services.cadence import next_slot
from services.errors import PermanentError, TubeGraderError, UsageError
from services.transactions import REFUSED
from services.work.backoff import Backoff
from services.youtube.batches import UNANSWERABLE, Fares
from services.youtube.failures import ApiKeyError

HEARD_APART = timedelta(hours=6)
"""Between the first hearing and the one that is believed."""
ALONE_FOR = timedelta(days=1)
"""The same where nothing in the batch was answered well: trouble that comes and goes must not meet
an item twice by chance. It is asked for several times meanwhile."""
SOONEST, LATEST = timedelta(minutes=5), timedelta(hours=3)
"""What is heard of a whole batch is asked again after as long as it is in doubt, within these: soon
after a lapse of minutes, seldom in a night without network."""
ONCE_FOR = timedelta(days=7)
"""What is collected once has nobody left beside it in the end who could bear it out: so long it is
tried, every few hours, and then what comes of it counts."""
RETRIES = Backoff(timedelta(seconds=15), timedelta(hours=1))

SPOILS_AGAIN = timedelta(hours=6)
"""Who spoils each call that names it is asked alone, seldomer and seldomer up to this: it costs a
unit each time, and after a bad day of half the host nobody is to wait for another day. What is
wrong is the host's to mend, so it is believed as late as what nobody can bear out."""
WORKED_LATELY = timedelta(minutes=5)

ANSWERS_TO_BELIEVE = 8
MALFORMED_REASONS = frozenset(
    {
        "malformedItem",
        "malformedText",
        "malformedCount",
        "malformedFlag",
        "malformedTime",
        "malformedDuration",
        "countTooLarge",
        "unknownLiveState",
        "notAnImage",
        "brokenImage",
        "imageTooLarge",
        "imageTooSmall",
    }
)
"""What chance can say of a sound item, and the next moment no more: asked again soon, and believed
only after so many answers. With four, a month of 10,000 videos under 20 % faults gave up nine sound
thumbnails."""
PLAIN_REASONS = frozenset({"channelClosed", "channelSuspended"})
"""Said of one channel in so many words: who says it works, and needs nobody to bear it out."""
OWN_REASONS = frozenset({"malformedId", "notWatched", REFUSED})
"""What we say ourselves, whatever the other side answers."""


def is_verdict(error: TubeGraderError) -> bool:
    """Tell whether an error is the other side's word on an item."""
    return (
        isinstance(error, PermanentError)
        and not isinstance(error, ApiKeyError | UsageError)
        and error.reason not in OWN_REASONS
    )


@dataclass(frozen=True)
class Hearing:
    """A verdict on an item as it was heard now.

    Attributes:
        reason: The verdict.
        at: The present moment.
        first_at: When the item's verdict was first heard; ``at`` if it is the first time.
        attempts: How often the item was begun, as far as that counts.
        is_supported: Something else in the same answer, or batch, went well.
        is_borne_out: Something else of the kind went well since ``first_at``.
        is_of_request: A call was refused as a whole, which says nothing of any single item.
        is_lasting: The same was heard when it was asked for again at once: it is no chance.
    """

    reason: str
    at: datetime
    first_at: datetime
    attempts: int
    is_supported: bool
    is_borne_out: bool
    is_of_request: bool = False
    is_lasting: bool = False

    @property
    def is_believed(self) -> bool:
        """Whether it ends the item."""
        if self.is_of_request or self._is_perhaps_chance:
            return False
        age = self.at - self.first_at
        if self.reason == UNANSWERABLE:
            return age >= ONCE_FOR and (self._host_works or self.is_borne_out)
        if self._host_works:
            return age >= HEARD_APART
        return self.is_borne_out and age >= ALONE_FOR

    @property
    def counts(self) -> bool:
        """Whether it is one of the answers to believe."""
        return self._is_perhaps_chance and (self._host_works or self.is_borne_out)

    @property
    def again_at(self) -> datetime:
        """When the item is asked for again while it is in doubt."""
        if self.reason == UNANSWERABLE:
            return self.at + min(max(self.at - self.first_at, SOONEST), SPOILS_AGAIN)
        if self._host_works and not self.is_of_request:
            if self._is_perhaps_chance:
                return self.at + RETRIES.after(self.attempts)
            # On a full hour, when others are asked for as well: with them, and for the same unit.
            return next_slot(self.first_at, HEARD_APART, now=self.at)
        return self.at + min(max(self.at - self.first_at, SOONEST), LATEST)

    @property
    def _host_works(self) -> bool:
        return self.is_supported or self.reason in PLAIN_REASONS

    @property
    def _is_perhaps_chance(self) -> bool:
        return (
            self.reason in MALFORMED_REASONS
            and not self.is_lasting
            and self.attempts < ANSWERS_TO_BELIEVE
        )


@dataclass(frozen=True)
class Judge:
    """What speaks for the host: this batch, and when another of the kind last went well."""

    at: datetime
    is_answered: bool
    well_at: datetime | None

    def bears_out(self, moment: datetime, tried_for: timedelta) -> bool:
        """Tell whether others went well since a moment, or nobody is left who could."""
        return (self.well_at is not None and self.well_at > moment) or tried_for >= ONCE_FOR


def fares(
    *,
    since: datetime,
    now: datetime,
    kind_well_at: datetime | None,
    host_well_at: datetime | None,
    failures: int,
) -> Fares:
    """Return how a host that failed a call for many items fares otherwise.

    Args:
        since: When the items failed before, or else were begun.
        now: The present moment.
        kind_well_at: When others of their kind were last answered well.
        host_well_at: When others of any kind were that the same host answers.
        failures: Batches of the host in a row of which nothing was answered well since.
    """
    if kind_well_at is not None and kind_well_at > since:
        return Fares.SINCE
    if host_well_at is not None and failures == 0 and host_well_at >= now - WORKED_LATELY:
        return Fares.LATELY
    return Fares.UNKNOWN
