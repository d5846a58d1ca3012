"""What a dispatcher does every second reads no growing table from its beginning to its end."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import event, text

from services import tick
from services.crawl import watchlist
from services.work import fleet
from services.work.kinds import WORK_KINDS
from tests.support.databases import owner_engine
from tests.support.operations import Operations, operations

__all__ = ["operations"]

N = 6_000
GROWING = {
    *("work_items", "videos", "video_snapshots", "channel_snapshots", "scores", "jobs"),
    *("notifications", "schedule_slots", "missed_slots", "channels", "quota_usage"),
}


def fill(operations: Operations) -> None:
    """Rows enough that an index pays: work later, some due, a backlog that is paused."""
    operations.sql(
        "INSERT INTO channels (channel_id, added_at) "
        "SELECT 'UC' || lpad(i::text, 22, '0'), :now FROM generate_series(1, 2000) i",
        now=operations.clock(),
    )
    for kind in WORK_KINDS:
        operations.sql(
            "INSERT INTO work_items (kind, entity_id, channel_id, state, slot, ready_at) "
            "SELECT :kind, lpad(i::text, 11, '0'), 'UC' || lpad((i % 2000 + 1)::text, 22, '0'), "
            "'due', at, at FROM (SELECT i, CAST(:now AS timestamptz) "
            "+ interval '1 minute' * (i - 500) AS at FROM generate_series(1, :n) i)",
            kind=kind,
            now=operations.clock(),
            n=N,
        )
    operations.sql(
        "INSERT INTO jobs (job_id, kind, params, state, created_at, finished_at) "
        "SELECT gen_random_uuid(), 'train', '{}', 'succeeded', :now, :now "
        "FROM generate_series(1, :n)",
        now=operations.clock(),
        n=N,
    )
    operations.sql(
        "INSERT INTO notifications (key, target, event, payload, state, created_at, sent_at) "
        "SELECT i::text, 'webhook', 'job.failed', '{}', 'sent', :now, :now "
        "FROM generate_series(1, :n) i",
        now=operations.clock(),
        n=N,
    )
    paused = [f"UC{i:022d}" for i in range(1, 400)]
    watchlist.set_paused(operations.context, paused, paused=True)
    with owner_engine(operations.context) as engine, engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("ANALYZE"))


@pytest.fixture
def plans(operations: Operations) -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """Each statement with its plan, as it was executed."""
    found: list[tuple[str, dict[str, Any]]] = []

    def explain(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.split(None, 1)[0] in ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH"):
            with cursor.connection.cursor() as other:
                other.execute(f"EXPLAIN (FORMAT JSON) {statement}", parameters)
                plan = other.fetchone()[0]
            plan = json.loads(plan) if isinstance(plan, str) else plan
            found.append((statement, plan[0]["Plan"]))

    fill(operations)
    engine = operations.context.engine
    event.listen(engine, "before_cursor_execute", explain)
    yield found
    event.remove(engine, "before_cursor_execute", explain)


def read_whole(plan: dict[str, Any]) -> set[str]:
    """Return the growing tables that a plan goes through from one end to the other."""
    below = set().union(*(read_whole(part) for part in plan.get("Plans", ())))
    whole = plan["Node Type"] in ("Seq Scan", "Sample Scan")
    return below | ({plan["Relation Name"]} & GROWING if whole else set())


@pytest.mark.parametrize("is_idle", [False, True], ids=["busy", "idle"])
def test_every_chore_goes_by_index_alone(
    operations: Operations, plans: list[tuple[str, dict[str, Any]]], is_idle: bool
):
    operations.with_settings(notify_webhook=SecretStr("http://127.0.0.1:1/"))
    if is_idle:
        operations.turn(days=-30)
    for chore in tick.CHORES:
        chore.do(operations.context)
        assert plans, chore.name
        assert [s for s, plan in plans if read_whole(plan)] == [], chore.name
        plans.clear()
    assert bool(operations.queue.sent) == (not is_idle)


def test_a_pause_touches_its_own_items_alone(operations: Operations, plans: Any):
    watchlist.set_paused(operations.context, [f"UC{1000:022d}"], paused=True)
    fleet.listed(operations.context)
    assert [s for s, plan in plans if read_whole(plan)] == []
