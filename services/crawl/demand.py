"""How many units a cadence asks for, hour by hour: of what is watched, or of an assumption."""

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from db.queries.work import planning
from services.cadence import Policy, next_slot
from services.crawl.discovery import FEED_EVERY, TRUST_FEED_FOR, WHOLE_WALK_EVERY
from services.work.kinds import CHANNEL_DISCOVER
from services.youtube.batches import IDS_PER_CALL
from services.youtube.quota import BATCH_STATS, SHARED, Bucket, Purpose

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
Account = tuple[Bucket, Purpose]
DISCOVERY: Account = (SHARED, "discovery")
IN_FULL: Account = (SHARED, "statistics")
COUNTS: Account = (BATCH_STATS, "statistics")


@dataclass
class Demand:
    """Units by account and hour, from ``start`` on.

    Attributes:
        start: The first moment; each hour that follows has its own entry.
        hours: How many hours.
        units: Expected calls; each costs one unit.
        fixed: Those of them, for discovery, that no other cadence would spare: walks to the end.
    """

    start: datetime
    hours: int
    units: dict[Account, list[float]] = field(default_factory=dict)
    fixed: float = 0.0

    def add(self, account: Account, hour: int, units: float) -> None:
        """Add calls of one hour."""
        self.units.setdefault(account, [0.0] * self.hours)[hour] += units

    def total(self, account: Account) -> float:
        """Return the calls of the whole time."""
        return sum(self.units.get(account, ()))


def assumed(
    policy: Policy,
    start: datetime,
    hours: int,
    *,
    channels: int,
    videos: int,
    uploads: float,
    feed_hints: bool = False,
) -> Demand:
    """Return the demand of a steady state whose slots are spread over the day.

    Args:
        policy: The cadence.
        start: Of the time that is planned.
        hours: Its length.
        channels: How many are watched.
        videos: How many they have.
        uploads: New videos a day, of all channels together.
        feed_hints: Whether feeds, which cost nothing, tell where there is something new.
    """
    demand = Demand(start, hours)
    every = min(policy.discovery_every, FEED_EVERY) if feed_hints else policy.discovery_every
    image_features = channels * (HOUR / every)
    whole = channels * (HOUR / WHOLE_WALK_EVERY)
    all_pages = math.ceil(videos / channels / IDS_PER_CALL) if channels else 0
    found = uploads * (HOUR / DAY)
    refreshes = sum(n * (HOUR / every) for n, every in by_step(policy, videos, uploads))
    for hour in range(hours):
        if channels:
            new = uploads * (every / DAY) / channels * image_features
            pages = _pages(image_features, new, has_more=all_pages > 1, feed_hints=feed_hints)
            demand.add(DISCOVERY, hour, pages + whole * max(all_pages - 1, 0))
            demand.fixed += whole * max(all_pages - 1, 0)
        demand.add(IN_FULL, hour, _calls(channels * (HOUR / policy.channel_every)))
        demand.add(IN_FULL, hour, _calls(found))
        demand.add(COUNTS, hour, _calls(max(refreshes - found, 0)))
    return demand


def _pages(image_features: float, new: float, *, has_more: bool, feed_hints: bool) -> float:
    """Return the pages that looking into channels costs, with so many new videos in all of them.

    A page with something new on it is followed by a second one. A feed without anything new spares
    the first, but is trusted for a while only.
    """
    if not image_features:
        return 0.0
    news = image_features * (1 - math.exp(-new / image_features))
    first = (
        min(news + image_features * (FEED_EVERY / TRUST_FEED_FOR), image_features)
        if feed_hints
        else image_features
    )
    return first + news * has_more


def by_step(policy: Policy, videos: int, uploads: float) -> list[tuple[float, timedelta]]:
    """Return how many videos are in each step of the cadence, and its interval."""
    found: list[tuple[float, timedelta]] = []
    since, left = timedelta(0), float(videos)
    for step in policy.steps():
        n = left
        if step.younger_than is not None:
            n = min(uploads * ((step.younger_than - since) / DAY), left)
            since = step.younger_than
        found.append((n, step.every))
        left -= n
    return found


def watched(
    session: Session,
    policy: Policy,
    start: datetime,
    hours: int,
    *,
    uploads: float,
    feed_hints: bool = False,
) -> Demand:
    """Return the demand of what is in the database: each item goes from slot to slot.

    Args:
        session: A unit of work.
        policy: The cadence.
        start: The present moment.
        hours: How far to look.
        uploads: New videos a day to expect; they are found when channels are looked through.
        feed_hints: Whether feeds, which cost nothing, tell where there is something new.
    """
    demand = Demand(start, hours)
    end = start + hours * HOUR
    due = planning.due_channels(session, now=start, end=end, whole_every=WHOLE_WALK_EVERY)
    found = _channels(demand, policy, due, uploads, feed_hints=feed_hints)
    videos = [*planning.due_videos(session, now=start, end=end), *found]
    _videos(demand, policy, videos)
    return demand


def _channels(
    demand: Demand,
    policy: Policy,
    due: Iterable[planning.DueChannels],
    uploads: float,
    *,
    feed_hints: bool,
) -> list[planning.DueVideos]:
    """Add what the channels ask for; return the new videos that this brings."""
    counters: dict[int, int] = defaultdict(int)
    walks: dict[int, int] = defaultdict(int)
    for row in due:
        is_walk = row.kind == CHANNEL_DISCOVER.name
        every = policy.discovery_every if is_walk else policy.channel_every
        if is_walk and feed_hints:
            every = min(every, FEED_EVERY)
        for hour in _hours(demand, row.due_at, every):
            (walks if is_walk else counters)[hour] += row.count
        if is_walk:
            more = max(row.first_pages - (row.count - row.known), 0)
            demand.add(DISCOVERY, _hour(demand, row.due_at), more + row.whole_pages)
            demand.fixed += row.whole_pages
    for hour, n in counters.items():
        demand.add(IN_FULL, hour, _calls(n))
    n_walks = sum(walks.values())
    found = []
    for hour, n in walks.items():
        new = uploads * (demand.hours / 24) * n / n_walks
        demand.add(DISCOVERY, hour, _pages(n, new, has_more=True, feed_hints=feed_hints))
        at = demand.start + hour * HOUR
        if round(new):
            found.append(planning.DueVideos(at, at, None, True, False, round(new)))
    return found


def _videos(demand: Demand, policy: Policy, due: Iterable[planning.DueVideos]) -> None:
    in_full: dict[int, int] = defaultdict(int)
    live: dict[int, int] = defaultdict(int)
    counts: dict[int, int] = defaultdict(int)
    end = demand.start + demand.hours * HOUR
    for row in due:
        at, first = row.due_at, True
        while at < end:
            kind = live if row.live else in_full if row.in_full and first else counts
            kind[_hour(demand, at)] += row.count
            at = next_slot(at, policy.video_interval(at - row.began_at, row.format), now=at)
            first = False
    for hour in {*in_full, *live, *counts}:
        batches = _calls(counts[hour] + live[hour])
        demand.add(COUNTS, hour, min(batches, counts[hour]))
        # Streams lie scattered among the others; each batch with one of them costs a call more.
        demand.add(IN_FULL, hour, _calls(in_full[hour]) + min(live[hour], batches))


def _hours(demand: Demand, at: datetime, every: timedelta) -> Iterable[int]:
    end = demand.start + demand.hours * HOUR
    while at < end:
        yield _hour(demand, at)
        at = next_slot(at, every, now=at)


def _hour(demand: Demand, at: datetime) -> int:
    return max((at - demand.start) // HOUR, 0)


def _calls(n: float) -> float:
    """Return the calls for ``n`` items of one hour; less than one is the chance of a call."""
    return n if n < 1 else math.ceil(n / IDS_PER_CALL)
