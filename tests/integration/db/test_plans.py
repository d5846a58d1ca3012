"""How the database answers what people and nights ask: by index, also when there is much."""

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.orm import Session

from benchmarks import big
from db.partitions import ensure_partitions_of
from db.queries.catalog import swaps, videos
from db.queries.policy import objects
from services.context import Context
from services.embedded import Endpoints
from tests.support.databases import context_on, own_database, owned

GROWING = (
    "videos", "video_snapshots", "newest_counts", "scores", "current_scores", "thumbnails",
    "video_thumbnails", "work_items",
)  # fmt: skip
VIDEOS = 20_000

PAGES = {
    "the README's": """
        SELECT title, views_per_day, predicted_views_per_day FROM scored_videos
        WHERE rung = 'subscribers+thumbnail' ORDER BY log10_residual DESC LIMIT 5
    """,
    "whatever comes first": "SELECT * FROM scored_videos LIMIT 20",
    "a video": """
        SELECT * FROM scored_videos
        WHERE video_id = (SELECT video_id FROM thumbnail_changes LIMIT 1)
    """,
    "swaps": """
        SELECT video_id, changed_at, window_days, ratio, control_ratio FROM thumbnail_changes
        WHERE ratio IS NOT NULL AND control_videos >= 5 ORDER BY changed_at DESC LIMIT 20
    """,
    "labels": "SELECT * FROM language_labels_in_force LIMIT 20",
    "results": "SELECT * FROM language_results LIMIT 20",
    "claims": "SELECT * FROM language_claims LIMIT 20",
}


@pytest.fixture(scope="module")
def filled(endpoints: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Context]:
    with (
        own_database(owned(endpoints.database_url), "plans") as url,
        closing(context_on(url, endpoints, tmp_path_factory.mktemp("plans"))) as context,
    ):
        big.fill(context, big.Size(VIDEOS, swaps=500))
        yield context


IN_PASSING = {
    "Limit", "Nested Loop", "Hash Join", "Subquery Scan", "Result", "Append", "Memoize",
}  # fmt: skip
"""Nodes that hand on rows as they come, so that a limit above ends what is below."""


def nodes(plan: dict[str, Any], *, ended: bool = False) -> Iterator[tuple[dict[str, Any], bool]]:
    """Yield the nodes of a plan, and whether a limit ends each early."""
    yield plan, ended
    for below in plan.get("Plans", ()):
        first = below["Parent Relationship"] in {"Outer", "Subquery", "Member"}
        on = (ended or plan["Node Type"] == "Limit") and plan["Node Type"] in IN_PASSING
        yield from nodes(below, ended=on and first)


def read_whole(context: Context, statement: str, values: object = None) -> set[str]:
    """Return the growing tables that a plan reads from end to end, but for empty partitions."""
    with context.engine.connect() as connection:
        empty = set(
            connection.execute(text("SELECT relname FROM pg_class WHERE reltuples <= 0")).scalars()
        )
        driver: Any = connection.connection.driver_connection
        with driver.cursor() as cursor:
            cursor.execute("EXPLAIN (FORMAT JSON) " + statement, values)
            [(found,)] = cursor.fetchall()
    scanned = {
        node["Relation Name"]
        for node, ended in nodes(found[0]["Plan"])
        if node["Node Type"] == "Seq Scan" and not ended
    }
    return {name for name in scanned - empty if name.startswith(GROWING)}


@pytest.mark.parametrize("name", PAGES)
def test_a_first_page_reads_no_table_from_end_to_end(filled: Context, name: str):
    assert read_whole(filled, PAGES[name]) == set()


def asked(context: Context, ask: Callable[[Session], object]) -> tuple[str, object]:
    """Return the statement and the values that a query sends last."""
    sent: list[tuple[str, object]] = []

    def note(_c: object, _k: object, statement: str, values: object, *_: object) -> None:
        sent.append((statement, values))

    event.listen(context.engine, "before_cursor_execute", note)
    try:
        with context.transaction() as session:
            ask(session)
    finally:
        event.remove(context.engine, "before_cursor_execute", note)
    return sent[-1]


def test_nothing_to_score_is_found_along_two_keys(filled: Context):
    """A night with nothing to score looks at no score and no video."""

    def ask(session: Session) -> None:
        page = videos.to_score(
            session, model_version_ids=[1, 2, 3, 4], now=big.NOW, after="", limit=512
        )
        assert page == []

    assert read_whole(filled, *asked(filled, ask)) == set()


@pytest.mark.parametrize(
    "ask",
    [
        lambda session: swaps.changes(session, as_of=big.NOW, most=50),
        lambda session: objects.scored_pictures(session, ["0" * 64] * 200),
    ],
)
def test_swaps_and_scored_pictures_are_found_by_index(
    filled: Context, ask: Callable[[Session], object]
):
    assert read_whole(filled, *asked(filled, ask)) == set()


def test_a_count_that_is_appended_reaches_what_stands_beside_it_by_keys(filled: Context):
    """Also in a session whose plans were made while the tables were empty."""
    read = text(
        "SELECT relname, seq_scan FROM pg_stat_user_tables WHERE relname = ANY(:names) ORDER BY 1"
    )
    names = {"names": ["newest_counts", "current_scores", "videos"]}
    with filled.engine.connect() as connection:
        before = connection.execute(read, names).all()
        ids = connection.execute(text("SELECT video_id FROM videos LIMIT 500")).scalars().all()
    with filled.transaction() as session:
        at = big.NOW + timedelta(days=1)
        row = {"slot": at, "captured_at": at, "view_count": 5}
        ensure_partitions_of(session.connection(), [at])
        assert videos.append_snapshots(session, [{"video_id": v, **row} for v in ids]) == 500
        session.execute(text("SELECT pg_stat_force_next_flush()"))
    with filled.engine.connect() as connection:
        after = connection.execute(read, names).all()
        changed = "SELECT count(*) FROM current_scores WHERE views_per_day <= 5"
        assert connection.execute(text(changed)).scalar_one() >= 2000
    # The ids above were read by one of them.
    assert sum(n for _, n in after) - sum(n for _, n in before) <= 1
