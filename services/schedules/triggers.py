"""When a schedule fires: by cron in a time zone, or a number of seconds again and again.

Cron follows Debian's, as cronsim evaluates it. Where the clock goes forward, a fixed time that
does not exist that day comes at the first moment that does. Where it goes back, a fixed time that
comes twice is taken the first time only. Expressions whose minute or hour begins with ``*`` follow
the hours that really pass, in both. Either way the fire times strictly increase.
"""

import zoneinfo
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice

from cronsim import CronSim, CronSimError

from services.errors import UsageError

_FIELDS = 5
_LOOK_BACK = tuple(timedelta(days=d) for d in (1 / 24, 1, 32, 366))


@dataclass(frozen=True)
class Cron:
    """Five fields of cron (minute, hour, day of month, month, day of week), read in a zone."""

    expression: str
    time_zone: str

    def after(self, moment: datetime) -> Iterator[datetime]:
        """Yield the fire times after ``moment``, in UTC, for the next 50 years or without end.

        Raises:
            UsageError: The expression or the zone is not known.
        """
        zone = checked_zone(self.time_zone)
        last = moment
        for found in _simulation(self.expression, moment.astimezone(zone)):
            # A start in the hour that comes twice could give a fire time of its first time.
            if (found := found.astimezone(UTC)) > last:
                last = found
                yield found


@dataclass(frozen=True)
class Interval:
    """Every so many seconds from an anchor on, whatever clocks do."""

    seconds: int
    anchor: datetime

    def after(self, moment: datetime) -> Iterator[datetime]:
        """Yield the fire times after ``moment``, in UTC, without end; never the anchor itself."""
        step = timedelta(seconds=self.seconds)
        number = max((moment - self.anchor) // step, 0) + 1
        while True:
            yield (self.anchor + step * number).astimezone(UTC)
            number += 1


Trigger = Cron | Interval


def checked(trigger: Trigger, *, now: datetime) -> Trigger:
    """Return a trigger that fires again.

    Raises:
        UsageError: It is malformed, or never comes.
    """
    if next(trigger.after(now), None) is None:
        raise UsageError(f"{_described(trigger)} never comes", hint="is there such a day?")
    return trigger


def checked_zone(name: str) -> zoneinfo.ZoneInfo:
    """Return an IANA time zone.

    Raises:
        UsageError: There is none of this name.
    """
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise UsageError(
            f"“{name}” is no time zone", hint="use a name such as UTC or Europe/Berlin"
        ) from error


def next_fire_time(trigger: Trigger, moment: datetime) -> datetime | None:
    """Return the first fire time after ``moment``; None if there is none."""
    return next(trigger.after(moment), None)


def next_fire_times(trigger: Trigger, moment: datetime, count: int) -> list[datetime]:
    """Return the next ``count`` fire times after ``moment``, in UTC."""
    return list(islice(trigger.after(moment), count))


def last_fire_time(trigger: Trigger, first: datetime, now: datetime) -> datetime:
    """Return the newest fire time from ``first``, which is one, until ``now``.

    Looks back in growing windows: a trigger of every minute that nobody looked at for a year is no
    loop over half a million fire times.
    """
    if isinstance(trigger, Interval):
        step = timedelta(seconds=trigger.seconds)
        return max(first, (trigger.anchor + (now - trigger.anchor) // step * step).astimezone(UTC))
    for window in _LOOK_BACK:
        if (start := now - window) <= first:
            break
        if (newest := _last(trigger, start, now)) is not None:
            return newest
    return _last(trigger, first, now) or first


def _last(trigger: Trigger, start: datetime, now: datetime) -> datetime | None:
    newest = None
    for moment in trigger.after(start):
        if moment > now:
            break
        newest = moment
    return newest


def _simulation(expression: str, start: datetime) -> CronSim:
    if len(expression.split()) != _FIELDS:
        raise UsageError(f"“{expression}” has not five fields", hint=_CRON_HINT)
    try:
        return CronSim(expression, start)
    except (CronSimError, AssertionError, ValueError, TypeError) as error:
        raise UsageError(
            f"“{expression}” is no cron expression: {error}", hint=_CRON_HINT
        ) from error


_CRON_HINT = "minute hour day-of-month month day-of-week, such as “30 3 * * *” for half past three"


def _described(trigger: Trigger) -> str:
    return f"“{trigger.expression}”" if isinstance(trigger, Cron) else f"every {trigger.seconds} s"
