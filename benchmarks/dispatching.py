"""The whole of what a dispatcher does every second, among many work items and among few.

On the clock, and in seconds of processors, of the dispatcher and the database together: whatever
else the machine does.

Idle, with nothing due; and busy, when it hands out as many batches as may be under lease. A tenth
of the channels is paused, and what is theirs has been due for long.
"""

import time
import uuid
from collections.abc import Sequence
from datetime import timedelta

from redis import Redis
from sqlalchemy import text

from benchmarks import place
from benchmarks.claiming import FEW, MANY, MOST, NOW, fill
from benchmarks.measure import Measurement, Median, interleaved, processor_s_of, timed
from db.queries.work import work_items
from services.context import Context
from services.tick import dispatch
from services.work.kinds import VIDEO_SNAPSHOT

ROUNDS = 5
CHANNELS = 50_000
IDLE_BUDGET_MS = 20.0
IDLE_TIMES = 50
"""That are measured together: a processor's time is told in hundredths of a second."""
EARLY = NOW - timedelta(days=400)
"""Before anything is due but what is paused."""


def measure(*, full: bool) -> list[Measurement]:
    """Dispatch in two databases in turn. In both the same number of videos is due."""
    many = MOST if full else MANY
    with (
        place.folder() as folder,
        place.empty_context(folder, clock=lambda: NOW) as small,
        place.another_database(small, "many") as large,
    ):
        _prepare(small, FEW)
        _prepare(large, many)
        sides = [_Side(context) for context in (large, small)]
        busy = interleaved([side.busy for side in sides], rounds=ROUNDS)
        busy_cpu = [side.spent() for side in sides]
        for side in sides:
            side.context.clock = lambda: EARLY
        idle = interleaved([side.idle for side in sides], rounds=ROUNDS)
        idle_cpu = [side.spent() for side in sides]
    return [
        *_rows(f"{VIDEO_SNAPSHOT.most_leased} batches due", many, busy, busy_cpu),
        *_rows("nothing due", many, idle, idle_cpu, budget_ms=IDLE_BUDGET_MS),
    ]


def _rows(
    when: str,
    many: int,
    clock: Sequence[Median],
    processors: Sequence[Median],
    *,
    budget_ms: float | None = None,
) -> list[Measurement]:
    """Hold many items against few and, where there is a budget, against that too."""
    found = []
    for unit, (large, small) in (("ms", clock), ("ms of processors", processors)):
        what = f"a dispatcher's second, {when}, among {many:,}"
        measured = f"{large * 1000:.1f} {unit}"
        against = f"among {FEW:,}, {small * 1000:.1f} {unit}"
        found.append(Measurement(what, measured, against, large / small, at_most=1.5))
        if budget_ms is not None:
            ratio = large * 1000 / budget_ms
            found.append(Measurement(what, measured, f"{budget_ms:.0f} {unit}", ratio, at_most=1.0))
    return found


class _Side:
    """A dispatcher of one database; it notes what processors each of its rounds took."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self._spent: list[float] = []

    def spent(self) -> Median:
        """Return the seconds of processors a time, since this was last asked; not of the first."""
        found, self._spent = Median(self._spent[1:]), []
        return found

    def idle(self) -> float:
        took = self._measured(IDLE_TIMES)
        assert not _tokens(self.context)
        return took

    def busy(self) -> float:
        took = self._measured(1)
        tokens = _tokens(self.context)
        assert len(tokens) == VIDEO_SNAPSHOT.most_leased
        # As its workers would, so that the next round finds the same.
        for token in tokens:
            with self.context.transaction() as session:
                held, items = work_items.begin(session, token, until=NOW)
                later = NOW + timedelta(days=30)
                ended = dict.fromkeys((item.entity_id for item in items), later)
                work_items.complete(session, held, ended, now=NOW)
        with Redis.from_url(str(self.context.settings.redis_url)) as broker:
            broker.flushdb()
        return took

    def _measured(self, times: int) -> float:
        """Return the seconds that one time of so many takes."""
        servers_before, before = self._servers_s(), time.process_time()
        took = timed(lambda: [dispatch(self.context) for _ in range(times)])
        mine = time.process_time() - before
        self._spent.append((mine + self._servers_s() - servers_before) / times)
        return took / times

    def _servers_s(self) -> float:
        return processor_s_of(place.servers(self.context))


def _tokens(context: Context) -> list[uuid.UUID]:
    with context.transaction() as session:
        found = "SELECT DISTINCT lease_token FROM work_items WHERE lease_token IS NOT NULL"
        return list(session.scalars(text(found)))


def _prepare(context: Context, n: int) -> None:
    due = VIDEO_SNAPSHOT.most_leased * VIDEO_SNAPSHOT.batch_size * (ROUNDS + 1)
    # A tenth of them belongs to paused channels.
    fill(context, n, channels=CHANNELS, due=due * 10 // 9 + VIDEO_SNAPSHOT.batch_size)
    with context.engine.begin() as connection:
        connection.execute(text("DELETE FROM schedules"))
        connection.execute(
            text("UPDATE channels SET paused_at = :now WHERE right(channel_id, 1) = '0'"),
            {"now": NOW},
        )
        connection.execute(
            text(
                "UPDATE work_items w SET is_held = true, slot = :long_ago, ready_at = :long_ago "
                "FROM channels c WHERE c.channel_id = w.channel_id AND c.paused_at IS NOT NULL"
            ),
            {"long_ago": EARLY - timedelta(days=1)},
        )
    with context.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
