"""What a dispatcher does every second reads no growing table from its beginning to its end."""

import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import event, text

from services import tick
from services.crawl import runs, watchlist
from services.embedded import Endpoints
from services.work import fleet, jobs
from services.work.kinds import WORK_KINDS
from tests.support.databases import context_on, own_database, owner_engine
from tests.support.operations import Operations, operations, operations_on

__all__ = ["operations"]

N = 6_000
GROWING = {
    *("work_items", "videos", "video_snapshots", "channel_snapshots", "scores", "jobs"),
    *("notifications", "schedule_slots", "missed_slots", "channels", "quota_usage"),
    *("daily_counts", "kept_swaps", "video_thumbnails"),
}

BESIDES = {"channels", "missed_slots"}
"""What may be joined as a whole to what is overdue; both are far smaller than the items."""


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
    operations.sql(
        "INSERT INTO videos (video_id, channel_id, published_at, first_seen_at) "
        "SELECT lpad(i::text, 11, '0'), 'UC' || lpad((i % 2000 + 1)::text, 22, '0'), :now, :now "
        "FROM generate_series(1, :n) i",
        now=operations.clock(),
        n=N,
    )
    operations.sql(
        "INSERT INTO daily_counts (channel_id, day, kind, reason, n_slots, n_late, n_entities) "
        "SELECT channel_id, CAST(:now AS timestamptz)::date - day, 'video.snapshot', '', 1, 0, 0 "
        "FROM channels, generate_series(1, 10) day",
        now=operations.clock(),
    )
    operations.sql(
        "INSERT INTO missed_slots (kind, entity_id, first_slot, channel_id, last_slot, interval_s, "
        "reason, noted_at) SELECT 'video.snapshot', video_id, at, channel_id, at, 86400, "
        "'overdue', :now FROM videos, LATERAL (SELECT :now - interval '3 days' AS at) missed",
        now=operations.clock(),
    )
    operations.sql(
        "INSERT INTO counted_batches (day, is_late, sign, video_ids) "
        "SELECT CAST(:now AS timestamptz)::date, false, 1, array_agg(video_id) "
        "FROM (SELECT video_id FROM videos ORDER BY 1 LIMIT 500) v",
        now=operations.clock(),
    )
    operations.sql(
        "INSERT INTO thumbnails VALUES (repeat('0', 64), 'jpeg', 320, 180, 9000, :now)",
        now=operations.clock(),
    )
    operations.sql(
        "INSERT INTO video_thumbnails (video_id, version, thumbnail_sha256, variant, is_current, "
        "first_seen_at, last_seen_at) SELECT video_id, version, repeat('0', 64), 'mqdefault', "
        "version = 2, :now, :now FROM videos, generate_series(1, 2) version",
        now=operations.clock(),
    )
    # Of most it is known already what they did.
    operations.sql("DELETE FROM swaps_to_keep WHERE right(channel_id, 1) <> '7'")
    operations.sql(
        "INSERT INTO kept_swaps "
        "(video_id, version, channel_id, is_stale, ready_at, changed_at, ends_at) "
        "SELECT video_id, 2, channel_id, false, :now, :now, :now FROM videos",
        now=operations.clock(),
    )
    paused = [f"UC{i:022d}" for i in range(1, 400)]
    watchlist.set_paused(operations.context, paused, paused=True)
    with owner_engine(operations.context) as engine, engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("ANALYZE"))


@pytest.fixture(scope="module")
def filled_url(endpoints: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A filled database that each test copies: to fill one takes a hundred times as long."""
    with own_database(endpoints.database_url, "test_periodic_paths_filled") as url:
        folder = tmp_path_factory.mktemp("filled")
        with closing(context_on(url, endpoints, folder)) as made, operations_on(made) as found:
            fill(found)
        yield url


@pytest.fixture
def database_url(filled_url: str) -> Iterator[str]:
    """A copy of the filled one."""
    with own_database(filled_url, "test_periodic_paths") as url:
        yield url


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
        besides = BESIDES if chore.name == "count what is overdue" else set()
        assert [s for s, plan in plans if read_whole(plan) - besides] == [], chore.name
        plans.clear()
    assert bool(operations.queue.sent) == (not is_idle)


def test_a_pause_touches_its_own_items_alone(operations: Operations, plans: Any):
    watchlist.set_paused(operations.context, [f"UC{1000:022d}"], paused=True)
    fleet.listed(operations.context)
    assert [s for s, plan in plans if read_whole(plan)] == []


def test_a_crawl_of_everything_is_begun_followed_and_taken_back_by_index(
    operations: Operations, plans: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(runs, "CHANNELS", 20)
    monkeypatch.setattr(runs, "CANCELLED_CHANNELS", 20)
    job_id = runs.start(operations.context, [f"UC{i:022d}" for i in range(400, 480)])
    plans.clear()
    for _ in range(2):
        runs.advance(operations.context)
    view = jobs.view(operations.context, job_id)
    assert (view.state, view.progress_total) == ("running", 1_120)
    jobs.cancel(operations.context, job_id)
    runs.advance(operations.context)
    assert jobs.view(operations.context, job_id).state == "cancelled"
    # What there is little of may be read whole.
    assert [s for s, plan in plans if read_whole(plan) & {"work_items", "videos"}] == []
