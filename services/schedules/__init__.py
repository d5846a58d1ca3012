"""Schedules: what is asked for again and again, kept in PostgreSQL, fired by dispatchers."""

from collections.abc import Collection
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any

from db.models import Schedule
from db.models.schedules import MISFIRE_POLICIES
from db.queries.work import schedules as rows
from services.context import Context
from services.errors import NotFoundError, UsageError
from services.schedules import firing, triggers
from services.schedules.kinds import KINDS
from services.schedules.names import checked_name
from services.schedules.triggers import Cron, Interval, Trigger, checked, checked_zone

__all__ = [
    "KINDS",
    "MISFIRE_POLICIES",
    "Plan",
    "ScheduleView",
    "add",
    "change",
    "find",
    "listed",
    "next_fire_times",
    "pause",
    "remove",
    "resume",
    "run_now",
]

SHORTEST_INTERVAL_S = 60


@dataclass(frozen=True)
class Plan:
    """What a user asks for.

    Attributes:
        name: Lower-case letters, digits, dots, dashes.
        kind: A kind of job, one of ``KINDS``.
        cron: Five fields; or None, and ``interval_s`` seconds pass between two runs.
        interval_s: See ``cron``; a minute or more.
        time_zone: An IANA name; ``cron`` is read in it.
        misfire: ``skip`` or ``run-once``: what becomes of a slot missed by more than the grace.
        grace_s: How late, in seconds, a slot may be and still count as in time.
        params: Of the job, such as a crawl's ``channel_ids``.
    """

    name: str
    kind: str
    cron: str | None
    interval_s: int | None
    time_zone: str
    misfire: str
    grace_s: int
    params: dict[str, Any]


@dataclass(frozen=True)
class ScheduleView:
    """A schedule as a front door shows it; all times are in UTC."""

    name: str
    kind: str
    cron: str | None
    interval_s: int | None
    time_zone: str
    misfire: str
    grace_s: int
    params: dict[str, Any]
    state: str
    """``on`` or ``paused``."""
    paused_reason: str | None
    next_slot: datetime | None
    last_slot: datetime | None
    last_outcome: str | None
    """``fired`` or ``skipped``; None while none has come."""
    last_reason: str | None
    last_missed_since: datetime | None
    last_job_id: str | None
    last_job_state: str | None

    def plan(self) -> Plan:
        """Return what was asked for."""
        return _plan_of(self)

    def as_json(self) -> dict[str, Any]:
        """Return plain values for ``--json``."""
        return {k: v.isoformat() if isinstance(v, datetime) else v for k, v in asdict(self).items()}


def add(context: Context, plan: Plan) -> bool:
    """Add a schedule; False where exactly this one is there already.

    Raises:
        UsageError: Something about it is wrong, or another one has its name.
    """
    now = context.clock().replace(microsecond=0)
    trigger = _checked(plan, now=now)
    with context.transaction() as session:
        first = triggers.next_fire_times(trigger, now, 1)[0]
        added = rows.add(session, {**asdict(plan), "created_at": now, "next_slot": first})
        if added is not None:
            return True
        [present] = rows.in_use(session, [plan.name])
        if _plan_of(present) == plan:
            return False
    raise UsageError(
        f"there is another schedule named {plan.name}",
        hint=f"`tubegrader schedules remove {plan.name}` first, or choose another name",
    )


def change(context: Context, plan: Plan) -> bool:
    """Ask for something else by the schedule of a name; False where it is as it was.

    Slots from now on are those of the new plan; whether it is paused stays.

    Raises:
        UsageError: Something about it is wrong, or there is none of this name.
    """
    now = context.clock().replace(microsecond=0)
    trigger = _checked(plan, now=now)
    with context.transaction() as session:
        [schedule] = _named(rows.in_use(session, [plan.name]), [plan.name])
        if _plan_of(schedule) == plan:
            return False
        for name, value in asdict(plan).items():
            setattr(schedule, name, value)
        # An interval counts from here.
        schedule.created_at = now
        schedule.next_slot = triggers.next_fire_times(trigger, now, 1)[0]
    return True


def find(context: Context, name: str) -> ScheduleView:
    """Return the schedule of a name.

    Raises:
        NotFoundError: There is none.
    """
    with context.transaction() as session:
        [schedule] = _named(rows.in_use(session, [name]), [name])
        return _view(schedule, rows.last_slots(session).get(schedule.schedule_id))


def listed(context: Context) -> list[ScheduleView]:
    """Return the schedules that were not removed, by name."""
    with context.transaction() as session:
        last = rows.last_slots(session)
        return [_view(s, last.get(s.schedule_id)) for s in rows.in_use(session)]


def pause(context: Context, names: Collection[str], *, reason: str | None = None) -> list[str]:
    """Let no slot of these fire; return those that were not paused before.

    Raises:
        UsageError: There is none of a name; nothing was changed.
    """
    now = context.clock()
    changed = []
    with context.transaction() as session:
        for schedule in _named(rows.in_use(session, names), names):
            if schedule.paused_at is None:
                schedule.paused_at, schedule.paused_reason = now, reason
                changed.append(schedule.name)
    return changed


def resume(context: Context, names: Collection[str]) -> list[str]:
    """Let these fire again, from now on: slots that passed meanwhile are not made up for.

    Raises:
        UsageError: There is none of a name, or one never comes again; nothing was changed.
    """
    now = context.clock()
    changed = []
    with context.transaction() as session:
        for schedule in _named(rows.in_use(session, names), names):
            if schedule.paused_at is not None:
                trigger = checked(firing.trigger_of(schedule), now=now)
                schedule.next_slot = triggers.next_fire_times(trigger, now, 1)[0]
                schedule.paused_at = schedule.paused_reason = None
                changed.append(schedule.name)
    return changed


def remove(context: Context, names: Collection[str]) -> list[str]:
    """Remove schedules for good; a job that runs goes on. Returns the names removed.

    Raises:
        UsageError: There is none of a name; nothing was changed.
    """
    now = context.clock()
    with context.transaction() as session:
        found = _named(rows.in_use(session, names), names)
        for schedule in found:
            schedule.removed_at = now
        return [schedule.name for schedule in found]


def run_now(context: Context, name: str) -> str:
    """Fire a schedule out of turn, paused or not; return the job's id.

    Raises:
        UsageError: There is none of this name, or its last job has not ended.
    """
    with context.transaction() as session:
        [schedule] = _named(rows.in_use(session, [name]), [name])
        return firing.fire_now(session, schedule, now=context.clock())


def next_fire_times(
    context: Context, names: Collection[str], count: int
) -> list[tuple[ScheduleView, list[datetime]]]:
    """Return the next fire times, in UTC, of the schedules of these names, or of all that are on.

    Raises:
        UsageError: There is none of a name.
    """
    now = context.clock()
    with context.transaction() as session:
        schedules = rows.in_use(session)
        if names:
            schedules = [s for s in _named(schedules, names) if s.name in names]
        else:
            schedules = [s for s in schedules if s.paused_at is None]
        return [
            (_view(s, None), triggers.next_fire_times(firing.trigger_of(s), now, count))
            for s in schedules
        ]


def _checked(plan: Plan, *, now: datetime) -> Trigger:
    checked_name(plan.name)
    checked_zone(plan.time_zone)
    if plan.kind not in KINDS:
        raise UsageError(f"“{plan.kind}” cannot be scheduled", hint=f"use {', '.join(KINDS)}")
    if plan.misfire not in MISFIRE_POLICIES:
        raise UsageError(
            f"“{plan.misfire}” is no misfire policy", hint=f"use {' or '.join(MISFIRE_POLICIES)}"
        )
    if plan.grace_s < 0:
        raise UsageError("a grace cannot be negative")
    if {"channel_ids", "tags"} & plan.params.keys() and not KINDS[plan.kind].of_channels:
        raise UsageError("only a crawl has channels")
    if "task" in plan.params and not KINDS[plan.kind].of_task:
        raise UsageError(f"a {plan.kind} is of no task")
    if plan.cron is not None and plan.interval_s is None:
        return checked(Cron(plan.cron, plan.time_zone), now=now)
    if plan.interval_s is not None and plan.cron is None:
        if plan.interval_s < SHORTEST_INTERVAL_S:
            raise UsageError("an interval is at least a minute")
        return Interval(plan.interval_s, now)
    raise UsageError("give either a cron expression or an interval")


def _named(found: list[Schedule], names: Collection[str]) -> list[Schedule]:
    missing = sorted(set(names) - {schedule.name for schedule in found})
    if missing:
        raise NotFoundError(
            f"there is no schedule {', '.join(missing)}",
            hint="`tubegrader schedules list` shows them",
        )
    return found


def _plan_of(schedule: Schedule | ScheduleView) -> Plan:
    return Plan(**{each.name: getattr(schedule, each.name) for each in fields(Plan)})


def _view(schedule: Schedule, last: rows.LastSlot | None) -> ScheduleView:
    return ScheduleView(
        **asdict(_plan_of(schedule)),
        state="on" if schedule.paused_at is None else "paused",
        paused_reason=schedule.paused_reason,
        next_slot=schedule.next_slot if schedule.paused_at is None else None,
        last_slot=last.slot if last else None,
        last_outcome=last.outcome if last else None,
        last_reason=last.reason if last else None,
        last_missed_since=last.missed_since if last else None,
        last_job_id=str(last.job_id) if last and last.job_id else None,
        last_job_state=last.job_state if last else None,
    )
