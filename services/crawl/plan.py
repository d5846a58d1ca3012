"""What a cadence will cost and whether the quota allows it, told before anything is scheduled."""

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from db.queries.work import planning
from db.queries.work.quota import booked_between, note_plan
from services.cadence import Policy, duration_text
from services.context import Context
from services.crawl import demand as demands
from services.crawl.demand import DAY, HOUR, Account, Demand
from services.crawl.discovery import WHOLE_WALK_EVERY
from services.youtube.quota import (
    BATCH_STATS,
    PURPOSES,
    SHARED,
    Bucket,
    Shares,
    daily_limits,
    kept_units,
    key_fingerprint,
    pacific_day,
    reset_at,
    shares,
)


@dataclass(frozen=True)
class Refresh:
    """How many of what are read how often."""

    what: str
    count: int
    every: str
    per_day: float


@dataclass(frozen=True)
class Use:
    """What a purpose will use of a bucket, in units; ``kept`` is what it may count on."""

    bucket: str
    purpose: str
    units: int
    kept: int | None


@dataclass(frozen=True)
class Plan:
    """What will be read, what it costs, and where the quota does not suffice.

    Attributes:
        start: Of the day that is planned, in UTC.
        end: Its end.
        limits: Units a Pacific day by bucket.
        refreshes: What is read how often.
        uses: What that costs, by bucket and purpose.
        waits_from: When something has to wait for quota first; None if nothing has to.
        unmet: Units of the day that the quota does not cover.
        stretch: All intervals times this number fit into the quota; 1 where they do as they are.
            None: no number does, as without any quota.
    """

    start: datetime
    end: datetime
    limits: dict[str, int]
    refreshes: tuple[Refresh, ...]
    uses: tuple[Use, ...]
    waits_from: datetime | None
    unmet: int
    stretch: float | None

    @property
    def fits(self) -> bool:
        """Whether everything is read within the day."""
        return self.unmet == 0

    def as_json(self) -> dict[str, Any]:
        """Return plain values for ``--json``."""
        return {
            **asdict(self),
            "start": self.start.isoformat(),
            "end": self.end.isoformat(),
            "waits_from": self.waits_from.isoformat() if self.waits_from else None,
            "fits": self.fits,
        }


def plan_assumed(
    context: Context,
    *,
    channels: int,
    videos: int,
    uploads_per_day: float,
    units: int | None = None,
) -> Plan:
    """Plan the next Pacific day of an installation that does not exist yet.

    Args:
        context: Its clock, cadence, limits and shares are used; nothing else.
        channels: How many are to be watched.
        videos: How many they have.
        uploads_per_day: New videos a day, of all channels together.
        units: The shared bucket; None is what is set.
    """
    policy = context.cadence
    start = reset_at(context.clock())
    hours = round((reset_at(start) - start) / HOUR)
    demand = demands.assumed(
        policy,
        start,
        hours,
        channels=channels,
        videos=videos,
        uploads=uploads_per_day,
        feed_hints=context.settings.feed_hints,
    )
    return _plan(context, policy, demand, {}, channels, videos, uploads_per_day, units)


def plan_watched(
    context: Context, *, uploads_per_day: float | None = None, units: int | None = None
) -> Plan:
    """Plan the next 24 hours of what is watched, with what is booked already today.

    Args:
        context: Where it is watched.
        uploads_per_day: New videos to expect; None takes the last 30 days as the measure.
        units: The shared bucket; None is what is set.
    """
    now, policy, key = context.clock(), context.cadence, context.settings.youtube_api_key
    used: dict[Account, float] = {}
    with context.transaction() as session:
        watched = planning.watched(session, now=now)
        uploads = watched.uploads_30_days / 30 if uploads_per_day is None else uploads_per_day
        hints = context.settings.feed_hints
        demand = demands.watched(session, policy, now, 24, uploads=uploads, feed_hints=hints)
        if key is not None:
            day = pacific_day(now)
            for row in booked_between(
                session,
                key_fingerprint=key_fingerprint(key.get_secret_value()),
                first=day,
                last=day,
            ):
                used[row.bucket, row.purpose] = row.units  # type: ignore[index]
    return _plan(context, policy, demand, used, watched.channels, watched.videos, uploads, units)


def record(context: Context) -> None:
    """Note what the next 24 hours will cost, for whoever watches the quota."""
    plan = plan_watched(context)
    with context.transaction() as session:
        note_plan(
            session,
            {(use.bucket, use.purpose): use.units for use in plan.uses},
            now=context.clock(),
        )


def _plan(
    context: Context,
    policy: Policy,
    demand: Demand,
    used: dict[Account, float],
    channels: int,
    videos: int,
    uploads: float,
    units: int | None,
) -> Plan:
    limits = daily_limits(context.settings.youtube_daily_units if units is None else units)
    waits_from, unmet = _run(demand, used, limits, shares(context.settings))
    kept = shares(context.settings).kept(limits[SHARED])
    return Plan(
        start=demand.start,
        end=demand.start + demand.hours * HOUR,
        limits={bucket: limits[bucket] for bucket in (SHARED, BATCH_STATS)},
        refreshes=_refreshes(policy, channels, videos, uploads),
        uses=tuple(
            Use(bucket, purpose, round(demand.total((bucket, purpose))), kept.get(purpose))
            if bucket == SHARED
            else Use(bucket, purpose, round(demand.total((bucket, purpose))), limits[bucket])
            for bucket, purpose in (demands.DISCOVERY, demands.IN_FULL, demands.COUNTS)
        ),
        waits_from=waits_from,
        unmet=round(unmet),
        stretch=_stretch(demand, limits) if round(unmet) else 1.0,
    )


def _refreshes(policy: Policy, channels: int, videos: int, uploads: float) -> tuple[Refresh, ...]:
    def row(what: str, count: float, every: timedelta) -> Refresh:
        return Refresh(what, round(count), duration_text(every), round(count * (DAY / every), 1))

    steps = zip(policy.steps(), demands.by_step(policy, videos, uploads), strict=True)
    return (
        row("channels: uploads", channels, policy.discovery_every),
        row("channels: uploads to the end", channels, WHOLE_WALK_EVERY),
        row("channels: counters", channels, policy.channel_every),
        *(
            row(
                f"videos younger than {duration_text(step.younger_than)}"
                if step.younger_than is not None
                else "older videos",
                count,
                every,
            )
            for step, (count, every) in steps
        ),
        row("thumbnails (no quota)", videos, policy.thumbnail_every),
    )


def _run(
    demand: Demand, used: dict[Account, float], limits: dict[Bucket, int], kept: Shares
) -> tuple[datetime | None, float]:
    """Spend hour by hour as the ledger would; return when something waits first, and what is left.

    What cannot be booked waits, as parked work does, for the end of the shares or the reset.
    """
    booked = dict(used)
    backlog: dict[Account, float] = {}
    waits_from = None
    for hour in range(demand.hours):
        at = demand.start + hour * HOUR
        if hour and pacific_day(at) != pacific_day(at - HOUR):
            booked = {}
        for account, by_hour in demand.units.items():
            backlog[account] = backlog.get(account, 0.0) + by_hour[hour]
        _spend(backlog, booked, limits, kept, at)
        if waits_from is None and sum(backlog.values()) >= 1:
            waits_from = at
    return waits_from, sum(backlog.values())


def _spend(
    backlog: dict[Account, float],
    booked: dict[Account, float],
    limits: dict[Bucket, int],
    kept: Shares,
    at: datetime,
) -> None:
    counts = demands.COUNTS
    room = limits[BATCH_STATS] - booked.get(counts, 0.0)
    _book(backlog, booked, counts, counts, room)
    for need, account in (
        (demands.DISCOVERY, demands.DISCOVERY),
        (demands.IN_FULL, demands.IN_FULL),
        (counts, demands.IN_FULL),  # the shared bucket pays where the other is empty
    ):
        reserved = kept_units(kept, SHARED, limits[SHARED], now=at)
        total = sum(booked.get((SHARED, purpose), 0.0) for purpose in PURPOSES)
        held_back = sum(
            max(reserved.get(purpose, 0) - booked.get((SHARED, purpose), 0.0), 0.0)
            for purpose in PURPOSES
            if purpose != account[1]
        )
        _book(backlog, booked, need, account, limits[SHARED] - total - held_back)


def _book(
    backlog: dict[Account, float],
    booked: dict[Account, float],
    need: Account,
    account: Account,
    room: float,
) -> None:
    units = min(backlog.get(need, 0.0), max(room, 0.0))
    if units:
        backlog[need] -= units
        booked[account] = booked.get(account, 0.0) + units


def _stretch(demand: Demand, limits: dict[Bucket, int]) -> float | None:
    """Return the number that all intervals times it fit the quota of a day."""
    shared = demand.total(demands.DISCOVERY) + demand.total(demands.IN_FULL) - demand.fixed
    everything = shared + demand.total(demands.COUNTS)
    room = limits[SHARED] - demand.fixed
    if room <= 0:
        return None
    both = everything / (room + limits[BATCH_STATS])
    return round(max(shared / room, both, 1.0), 2)
