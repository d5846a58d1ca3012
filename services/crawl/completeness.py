"""Expected against collected: what the cadence demanded, what came of it, and why not.

Every snapshot names the slot it was due for. A slot that passed is noted when the item goes on
(``missed_slots``, nothing is written while all goes well); what is missing now follows from the
items that are overdue. Together they answer for any past day what was to be collected on it,
under the cadence that was in force then.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from sqlalchemy.orm import Session

from db.queries.catalog import channels, counted, overdue
from db.queries.catalog import completeness as rows
from services.context import Context
from services.paging import Page, cursor, position
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
        overdue_at: Up to when what is overdue is counted: now, or, where it is very much, when a
            dispatcher last did so; None where none did yet.
        asked_at: Now.
    """

    since: datetime
    days: list[dict[str, Any]]
    expected: int
    collected: int
    late: int
    reasons: dict[str, int]
    not_listed: dict[str, int]
    overdue_at: datetime | None
    asked_at: datetime

    @property
    def is_counted_before(self) -> bool:
        """Whether what is overdue is so much that it was not counted when it was asked for."""
        return self.overdue_at != self.asked_at

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
            "overdue_at": None if self.overdue_at is None else self.overdue_at.isoformat(),
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
        held = _held(context, session, now=now)
        counted_at = overdue.counted_at(session, now=now)
        days = rows.by_day(session, since=since, now=now, channel_id=channel_id)
        not_listed = rows.not_listed(session, now=now, channel_id=channel_id)
    days = [_explained(day, held, now=now) for day in days]
    return _summed(
        days,
        shown=days,
        since=since,
        not_listed=_renamed(not_listed, held.get(CHANNEL_DISCOVER.name)),
        overdue_at=counted_at,
        asked_at=now,
    )


@dataclass(frozen=True)
class Worst:
    """The channels that miss most, and what all of them together were to collect.

    Attributes:
        all: Of all channels; its ``days`` are those of the worst.
        channels: How many are watched.
    """

    all: Completeness
    channels: int


def worst(context: Context, *, channel: str | None = None, since: date, most: int) -> Worst:
    """Hold what was collected against what fell due, in detail for the channels that miss most.

    Args:
        context: The database and the clock.
        channel: Only this one, by id, @handle or address.
        since: The first UTC day.
        most: Channels to tell in detail.

    Raises:
        UsageError: The channel is not watched.
    """
    now = context.clock()
    channel_id = None if channel is None else find(context, [channel])[0]
    with context.transaction() as session:
        held = _held(context, session, now=now)
        counted_at = overdue.counted_at(session, now=now)
        of_channels, together, channels = rows.of_worst(
            session, since=since, now=now, channel_id=channel_id, most=most
        )
        not_listed = rows.not_listed(session, now=now, channel_id=channel_id)
    found = _summed(
        [_explained(day, held, now=now) for day in _days(together)],
        shown=[_explained(day, held, now=now) for day in _days(of_channels)],
        since=datetime.combine(since, time(), UTC),
        not_listed=_renamed(not_listed, held.get(CHANNEL_DISCOVER.name)),
        overdue_at=counted_at,
        asked_at=now,
    )
    return Worst(found, channels)


def page(
    context: Context,
    *,
    channel: str | None = None,
    since: date,
    after: str | None = None,
    limit: int,
) -> Page[dict[str, Any]]:
    """Hold what was collected against what fell due, some channels after the others.

    Args:
        context: The database and the clock.
        channel: Only this one, by id, @handle or address.
        since: The first UTC day; days are whole.
        after: ``next`` of the page before.
        limit: Channels, at most.

    Returns:
        One entry per channel, UTC day and kind of snapshot; there may be none, and a page after it.

    Raises:
        UsageError: The channel is not watched, or ``after`` is none of ours.
    """
    now = context.clock()
    last = "" if after is None else position(after, str, str)[1]
    only = None if channel is None else find(context, [channel])
    with context.transaction() as session:
        ids = only or channels.ids_after(session, last, limit=limit + 1)
        held = _held(context, session, now=now)
        found = counted.of_channels(session, ids[:limit], since=since, now=now)
    days = [_explained(day, held, now=now) for day in _days(found)]
    return Page(days, cursor(("channel", ids[limit - 1])) if len(ids) > limit else None)


@dataclass(frozen=True)
class InShort:
    """What all channels together were to collect on one UTC day, named as in ``Completeness``."""

    expected: int
    collected: int
    late: int
    reasons: dict[str, int]
    not_listed: dict[str, int]


def of_day(context: Context, day: date, *, until: datetime) -> InShort:
    """Hold what was collected on a UTC day against what fell due, from what is added up.

    Args:
        context: The database and the clock.
        day: A day that is over.
        until: Uploads that were to be read by then are told of.
    """
    now = context.clock()
    with context.transaction() as session:
        held = _held(context, session, now=now).get(CHANNEL_DISCOVER.name)
        found = rows.of_day(session, day, now=now)
        not_listed = rows.not_listed(session, now=until, channel_id=None)
    collected, late = found.pop("", (0, 0))
    missing = Counter({reason: n for reason, (n, _) in found.items()})
    return InShort(
        expected=collected + missing.total(),
        collected=collected,
        late=late,
        reasons=dict(missing.most_common()),
        not_listed=_renamed(not_listed, held),
    )


def _summed(
    days: list[dict[str, Any]],
    *,
    shown: list[dict[str, Any]],
    since: datetime,
    not_listed: dict[str, int],
    overdue_at: datetime | None,
    asked_at: datetime,
) -> Completeness:
    """Add up days, of which others are shown in detail."""
    reasons: Counter[str] = Counter()
    for day in days:
        reasons.update(day["reasons"])
    return Completeness(
        since=since,
        days=shown,
        expected=sum(day["expected"] for day in days),
        collected=sum(day["collected"] for day in days),
        late=sum(day["late"] for day in days),
        reasons=dict(reasons.most_common()),
        not_listed=not_listed,
        overdue_at=overdue_at,
        asked_at=asked_at,
    )


def _held(context: Context, session: Session, *, now: datetime) -> dict[str, str]:
    """Return why nobody works on a kind at the moment, a reason that the operator can read."""
    blocked = admission.blocked_work(context, session, now=now)
    return {kind: blocker.reason for kind, blocker in blocked.items()}


def _days(by_reason: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Make an entry per channel, day and kind of one per reason."""
    days: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in by_reason:
        shown = {name: row[name] for name in ("channel_id", "channel_title", "handle")}
        day = days.setdefault(
            (row["channel_id"], row["day"], row["kind"]),
            {**shown, "day": row["day"], "kind": row["kind"], "expected": 0, "collected": 0}
            | {"late": 0, "missing": 0, "reasons": {}},
        )
        day["expected"] += row["n"]
        day["late"] += row["late"]
        if row["reason"]:
            day["missing"] += row["n"]
            day["reasons"][row["reason"]] = row["n"]
        else:
            day["collected"] += row["n"]
    return list(days.values())


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
