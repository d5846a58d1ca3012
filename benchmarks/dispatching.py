"""The whole of what a dispatcher does every second, among many work items and among few.

Idle, with nothing due; and busy, when it hands out as many batches as may be under lease. A tenth
of the channels is paused, and what is theirs has been due for long.
"""

from datetime import timedelta
from functools import partial

from redis import Redis
from sqlalchemy import text

from benchmarks import place
from benchmarks.claiming import FEW, MANY, MOST, NOW, fill
from benchmarks.measure import Measurement, interleaved, timed
from db.queries.work import work_items
from services.context import Context
from services.tick import dispatch
from services.work.kinds import VIDEO_SNAPSHOT

ROUNDS = 5
CHANNELS = 50_000
IDLE_BUDGET_MS = 20.0
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
        contexts = (large, small)
        busy, busy_few = interleaved([partial(_busy, c) for c in contexts], rounds=ROUNDS)
        for context in contexts:
            context.clock = lambda: EARLY
        idle, idle_few = interleaved([partial(_idle, c) for c in contexts], rounds=ROUNDS)
    return [
        Measurement(
            f"a dispatcher's second, {VIDEO_SNAPSHOT.most_leased} batches due, among {many:,}",
            f"{busy * 1000:.1f} ms",
            f"among {FEW:,}, {busy_few * 1000:.1f} ms",
            busy / busy_few,
            at_most=1.5,
        ),
        Measurement(
            f"a dispatcher's second with nothing due, among {many:,}",
            f"{idle * 1000:.1f} ms",
            f"{IDLE_BUDGET_MS:.0f} ms; among {FEW:,}, {idle_few * 1000:.1f} ms",
            idle * 1000 / IDLE_BUDGET_MS,
            at_most=1.0,
        ),
    ]


def _idle(context: Context) -> float:
    took = timed(partial(dispatch, context))
    assert not _tokens(context)
    return took


def _busy(context: Context) -> float:
    took = timed(partial(dispatch, context))
    tokens = _tokens(context)
    assert len(tokens) == VIDEO_SNAPSHOT.most_leased
    # As its workers would, so that the next round finds the same.
    for token in tokens:
        with context.transaction() as session:
            held, items = work_items.begin(session, token, until=NOW)
            later = NOW + timedelta(days=30)
            ended = dict.fromkeys((item.entity_id for item in items), later)
            work_items.complete(session, held, ended, now=NOW)
    with Redis.from_url(str(context.settings.redis_url)) as broker:
        broker.flushdb()
    return took


def _tokens(context: Context) -> list[object]:
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
