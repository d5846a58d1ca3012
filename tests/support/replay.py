"""Days of crawling in a minute: the real services, a clock that jumps, and everything going wrong.

In process: messages run their service at once, unless they are lost (Redis was wiped), come twice,
or their worker dies at its next wait for a retry.
"""

import json
import random
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from services.context import Context
from services.emulator.catalog import Catalog
from services.emulator.faults import FaultPlan
from services.queue import Task
from services.tick import dispatch
from services.youtube.gateway import YouTubeGateway
from services.youtube.quota import DatabaseLedger, daily_limits, key_fingerprint
from tests.support.audit import Audit, World, audit
from tests.support.crawl import KEY, SERVICES, Crawl, TurnableClock, offline_crawl, value
from tests.support.emulator import fetch

SHORTEST_STEP = timedelta(minutes=1)
"""Nobody looks at a clock more often; what is due a second later waits so long."""


class WorkerKilledError(BaseException):
    """A worker's process is gone: nothing in it can catch that."""


@dataclass
class FrailQueue:
    """In place of the network and the workers.

    Attributes:
        context: What a worker works with.
        chance: Decides what happens to a message.
        lost: Share of messages that never arrive.
        doubled: Share that arrive twice.
        counts: What happened, how often.
    """

    context: Context
    chance: random.Random
    lost: float = 0.05
    doubled: float = 0.05
    counts: dict[str, int] = field(
        default_factory=lambda: {"lost": 0, "doubled": 0, "killed": 0, "done": 0}
    )

    def lengths(self) -> dict[str, int]:
        return {}

    def send(self, task: Task, *args: str) -> None:
        fate = self.chance.random()
        if fate < self.lost:
            self.counts["lost"] += 1
            return
        twice = fate < self.lost + self.doubled
        self.counts["doubled"] += twice
        for _ in range(1 + twice):
            try:
                SERVICES[task.name](self.context, uuid.UUID(args[0]))
                self.counts["done"] += 1
            except WorkerKilledError:
                self.counts["killed"] += 1


@dataclass
class Replay:
    """A crawl under way, and the world it watches."""

    crawl: Crawl
    catalog: Catalog
    queue: FrailQueue

    def until(self, end: datetime) -> None:
        """Dispatch whenever something is due, until ``end``."""
        context, clock = self.crawl.context, self.crawl.clock
        while clock.now < end:
            while dispatch(context):
                pass
            ready = value(context, "SELECT min(ready_at) FROM work_items") or end
            clock.now = min(max(ready, clock.now + SHORTEST_STEP), end)

    def strike(self, plan: FaultPlan) -> None:
        """Have the offline YouTube answer by this plan from now on."""
        data = json.dumps(plan.model_dump()).encode()
        assert fetch(f"{self.crawl.url}/emulator/faults", data=data).status == 200

    def audit(self, *, patience: timedelta) -> Audit:
        """Compare what was collected with the truth."""
        world = World(self.catalog, self.crawl.clock.now, patience)
        return audit(self.crawl.context.engine, world, received(self.crawl.url))


def received(url: str) -> dict[tuple[str, str], int]:
    """The calls the emulator received, charged or not, by (Pacific day, bucket)."""
    rows = json.loads(fetch(f"{url}/emulator/quota").body)["quota"]
    return {(r["pacific_day"], r["bucket"]): r["charged"] + r["unbilled"] for r in rows}


@contextmanager
def replaying(
    context: Context, catalog: Catalog, *, faults: FaultPlan, killed: float = 0.02, seed: int = 0
) -> Iterator[Replay]:
    """Watch all channels of ``catalog`` from its epoch on, into the database of ``context``.

    Args:
        context: Its database and object store are used.
        catalog: The world.
        faults: What goes wrong at YouTube, once the channels are watched.
        killed: Chance that a worker dies when it waits before asking again.
        seed: Decides what goes wrong here.
    """
    clock = TurnableClock(catalog.epoch)
    chance = random.Random(seed)
    with offline_crawl(context, catalog, clock=clock, watch=True) as crawl:
        queue = FrailQueue(crawl.context, chance)

        def wait(_seconds: float) -> None:
            """The clock stands still while a worker works; some die here."""
            if chance.random() < killed:
                raise WorkerKilledError

        settings = crawl.context.settings
        ledger = DatabaseLedger(
            crawl.context.transaction,
            key_fingerprint(KEY),
            daily_limits(settings.youtube_daily_units),
            clock,
        )
        with YouTubeGateway(
            KEY, ledger, clock, endpoint=settings.youtube_endpoint, wait=wait
        ) as gateway:
            crawl.context.close()
            crawl.context.__dict__.update(queue=queue, youtube=gateway)
            replay = Replay(crawl, catalog, queue)
            replay.strike(faults)
            yield replay
