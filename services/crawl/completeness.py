"""Expected against collected: what the cadence demanded, what came of it, and why not.

Every snapshot names the slot it was due for. A slot that passed is noted when the item goes on
(``missed_slots``, nothing is written while all goes well); what is missing now follows from the
items that are overdue. Together they answer for any past day what was to be collected on it,
under the cadence that was in force then.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from db.queries.catalog import completeness as rows
from services.context import Context
from services.watched import find
from services.work import admission
from services.work.kinds import CHANNEL_DISCOVER

DEFAULT_SPAN = timedelta(days=7)


@dataclass(frozen=True)
class Completeness:
    """What was to be collected since a moment, and what was.

    Attributes:
        since: From which moment on, UTC.
        days: One entry per channel, UTC day and kind of snapshot.
        expected: Snapshots that fell due.
        collected: Those that were taken.
        late: Those of them that were taken more than an hour after their slot.
        reasons: How many are missing for which reason.
        not_listed: Channels whose uploads are overdue to be read, by reason: they may have videos
            that nobody knows of.
    """

    since: datetime
    days: list[dict[str, Any]]
    expected: int
    collected: int
    late: int
    reasons: dict[str, int]
    not_listed: dict[str, int]

    @property
    def share(self) -> float | None:
        """Collected of expected, 0 to 1; None where nothing was expected."""
        return self.collected / self.expected if self.expected else None

    def as_json(self) -> dict[str, Any]:
        """Return plain values for ``--json``."""
        return {
            "since": self.since.isoformat(),
            "expected": self.expected,
            "collected": self.collected,
            "late": self.late,
            "share": self.share,
            "reasons": self.reasons,
            "channels_not_listed": self.not_listed,
            "days": self.days,
        }


def report(
    context: Context, *, channel: str | None = None, since: datetime | None = None
) -> Completeness:
    """Hold what was collected against what fell due.

    Args:
        context: The database and the clock.
        channel: Only this one, by id, @handle or address.
        since: From when on (aware); a week ago by default.

    Raises:
        UsageError: The channel is not watched.
    """
    now = context.clock()
    since = since or now - DEFAULT_SPAN
    channel_id = None if channel is None else find(context, [channel])[0]
    with context.transaction() as session:
        # What nobody works on at the moment has a reason that the operator can read.
        held = {
            kind: blocker.reason
            for kind, blocker in admission.blocked_work(context, session, now=now).items()
        }
        days = [
            _explained(day, held, now=now)
            for day in rows.by_day(session, since=since, now=now, channel_id=channel_id)
        ]
        not_listed = rows.not_listed(session, now=now, channel_id=channel_id)
    reasons: Counter[str] = Counter()
    for day in days:
        reasons.update(day["reasons"])
    return Completeness(
        since=since,
        days=days,
        expected=sum(day["expected"] for day in days),
        collected=sum(day["collected"] for day in days),
        late=sum(day["late"] for day in days),
        reasons=dict(reasons.most_common()),
        not_listed=_renamed(not_listed, held.get(CHANNEL_DISCOVER.name)),
    )


def _explained(day: dict[str, Any], held: dict[str, str], *, now: datetime) -> dict[str, Any]:
    """Say of what is overdue today why nobody works on it, where a blocker tells."""
    if day["day"] != now.astimezone(UTC).date():
        return day
    return {**day, "reasons": _renamed(day["reasons"], held.get(day["kind"]))}


def _renamed(reasons: dict[str, int], held: str | None) -> dict[str, int]:
    found: Counter[str] = Counter()
    for reason, n in reasons.items():
        found[held if held is not None and reason == "overdue" else reason] += n
    return dict(found)
