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
from db.queries.catalog import browsing, swaps, videos
from db.queries.learning import unscored
from db.queries.policy import objects
from services.context import Context
from services.embedded import Endpoints
from tests.support.databases import context_on, own_database, owned

GROWING = (
    "videos", "video_snapshots", "newest_counts", "scores", "current_scores", "thumbnails",
    "video_thumbnails", "work_items", "missed_slots", "daily_counts",
    "overdue_counts",
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
    "swaps of a channel": """
        SELECT * FROM thumbnail_changes WHERE channel_id = 'UC0000000000000000000007'
        ORDER BY changed_at DESC LIMIT 20
    """,
    "labels": "SELECT * FROM language_labels_in_force LIMIT 20",
    "results": "SELECT * FROM language_results LIMIT 20",
    "claims": "SELECT * FROM language_claims LIMIT 20",
    "completeness": "SELECT * FROM completeness LIMIT 50",
    "completeness by day": "SELECT * FROM completeness ORDER BY day DESC LIMIT 50",
    "completeness of one": """
        SELECT * FROM completeness WHERE channel_id = 'UC0000000000000000000007'
        ORDER BY day DESC LIMIT 50
    """,
    "gaps": "SELECT * FROM completeness_gaps LIMIT 50",
    "gaps by day": "SELECT * FROM completeness_gaps ORDER BY day DESC LIMIT 50",
    "gaps of one": """
        SELECT * FROM completeness_gaps WHERE channel_id = 'UC0000000000000000000007' LIMIT 50
    """,
}


OVERDUE = """
    INSERT INTO overdue_counts (channel_id, day, kind, reason, n_slots, n_entities)
    SELECT channel_id, CAST(:now AS timestamptz)::date - day, kind, 'overdue', 20, 20
    FROM channels, generate_series(0, 19) day,
        unnest(ARRAY['channel.discover', 'channel.snapshot', 'video.snapshot']) kind
"""
"""As a dispatcher counts it; whether it is so much that the views read it tells each query."""


@pytest.fixture(scope="module")
def filled(endpoints: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Context]:
    with (
        own_database(owned(endpoints.database_url), "plans") as url,
        closing(context_on(url, endpoints, tmp_path_factory.mktemp("plans"))) as context,
    ):
        big.fill(context, big.Size(VIDEOS, swaps=500))
        big.keep_swaps(context)
        with context.engine.begin() as connection:
            connection.execute(text(OVERDUE), {"now": big.NOW})
            connection.execute(text("ANALYZE overdue_counts"))
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


def planned(
    context: Context, statement: str, values: object = None, *, analyze: bool = False
) -> dict[str, Any]:
    with context.engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        with driver.cursor() as cursor:
            options = "ANALYZE, FORMAT JSON" if analyze else "FORMAT JSON"
            cursor.execute(f"EXPLAIN ({options}) {statement}", values)
            [(found,)] = cursor.fetchall()
    plan: dict[str, Any] = found[0]["Plan"]
    return plan


def read_whole(context: Context, statement: str, values: object = None) -> set[str]:
    """Return the growing tables that a plan reads from end to end, but for empty partitions."""
    with context.engine.connect() as connection:
        empty = set(
            connection.execute(text("SELECT relname FROM pg_class WHERE reltuples <= 0")).scalars()
        )
    scanned = {
        node["Relation Name"]
        for node, ended in nodes(planned(context, statement, values))
        if node["Node Type"] == "Seq Scan" and not ended
    }
    return {name for name in scanned - empty if name.startswith(GROWING)}


@pytest.mark.parametrize("name", PAGES)
def test_a_first_page_reads_no_table_from_end_to_end(filled: Context, name: str):
    assert read_whole(filled, PAGES[name]) == set()


def gathering(plan: dict[str, Any], index: str) -> list[str] | None:
    """Return the nodes above the scan of an index that read all before they hand on anything."""
    if plan.get("Index Name") == index:
        return []
    for below in plan.get("Plans", ()):
        found = gathering(below, index)
        if found is not None:
            whole = plan["Node Type"] in ("Sort", "Hash") or plan.get("Strategy") == "Hashed"
            return [plan["Node Type"]] * whole + found
    return None


@pytest.mark.parametrize("name", ["completeness", "completeness by day"])
def test_a_first_page_of_completeness_ends_the_reading_of_the_daily_counts(
    filled: Context, name: str
):
    assert gathering(planned(filled, PAGES[name]), "ix_daily_counts_day") == []


@pytest.mark.parametrize("name", ["completeness", "completeness by day", "gaps", "gaps by day"])
def test_a_first_page_of_completeness_ends_the_reading_of_what_is_overdue(
    filled: Context, name: str
):
    assert gathering(planned(filled, PAGES[name]), "ix_overdue_counts_day") == []


@pytest.mark.parametrize("name", ["swaps", "swaps of a channel"])
def test_a_page_of_swaps_that_are_kept_reads_no_count(filled: Context, name: str):
    plan = planned(filled, PAGES[name], analyze=True)
    assert plan["Actual Rows"] >= 3
    read = [
        node["Relation Name"]
        for node, _ in nodes(plan)
        if node.get("Relation Name", "").startswith("video_snapshots") and node["Actual Loops"]
    ]
    assert read == []


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
        assert unscored.count(session, model_version_ids=[1, 2, 3, 4]) == 0

    assert read_whole(filled, *asked(filled, ask)) == set()


@pytest.mark.parametrize("models", [[1, 2, 3, 4], [1, 2, 3, 4, 5]])
def test_what_lacks_a_score_is_found_newest_first_by_keys_alone(filled: Context, models: list[int]):
    """Whether nothing lacks one or all do: a page of the catalogue costs its own rows."""
    pages: list[unscored.Page] = []

    def ask(session: Session) -> None:
        before = pages[0].last if pages else None
        pages.append(unscored.page(session, model_version_ids=models, before=before, limit=1_000))

    for _ in range(2):
        assert read_whole(filled, *asked(filled, ask)) == set()
    first, second = pages
    assert first.last is not None
    assert second.last is not None
    assert second.last < first.last
    assert len(first.video_ids) == len(second.video_ids) == (0 if len(models) == 4 else 1_000)


def words(title: str) -> Callable[[Session], object]:
    return lambda session: browsing.newest_videos(
        session, model_version_id=None, title=title, limit=50
    )


def test_a_rare_word_is_looked_up_also_where_the_planner_takes_it_for_a_common_one(
    filled: Context,
):
    """It would read all titles from the newest on, to find fifty of one."""
    some = "video_id IN (SELECT video_id FROM videos ORDER BY video_id LIMIT 3000)"
    before = "UPDATE videos SET title = replace(title, 'sparse ', '')"
    with filled.engine.begin() as connection:
        connection.execute(text(f"UPDATE videos SET title = 'sparse ' || title WHERE {some}"))
        connection.execute(text("ANALYZE videos"))
        one = "(SELECT min(video_id) FROM videos)"
        connection.execute(text(f"{before} WHERE {some} AND video_id > {one}"))
    try:
        with filled.transaction() as session:
            found = session.execute(text("SELECT count(*) FROM videos WHERE title LIKE 'sparse%'"))
            assert found.scalar_one() == 1
        plan = planned(filled, *asked(filled, words("sparse")), analyze=True)
        indexes = {n.get("Index Name") for n, _ in nodes(plan) if n["Actual Loops"] > 0}
        assert "ix_videos_title_words" in indexes
        assert "ix_videos_published_at_video_id" not in indexes
    finally:
        with filled.engine.begin() as connection:
            connection.execute(text(f"{before} WHERE title LIKE 'sparse %'"))
            connection.execute(text("ANALYZE videos"))


def test_a_common_word_is_found_among_the_newest(filled: Context):
    assert read_whole(filled, *asked(filled, words("nobody"))) == set()


def scans(plan: dict[str, Any], table: str) -> set[str]:
    """Return the indexes that a plan reads a table by; its name where it reads the table itself."""
    return {
        str(node.get("Index Name") or table)
        for node, _ in nodes(plan)
        if node.get("Relation Name") == table
    }


@pytest.mark.parametrize(
    "ask",
    [
        lambda session: unscored.page(session, model_version_ids=[1, 5], before=None, limit=1_000),
        lambda session: unscored.to_score(
            session, ["0" * 11] * 500, model_version_ids=[1, 5], now=big.NOW
        ),
    ],
)
def test_whether_pictures_are_there_is_asked_of_those_that_are_gone(
    filled: Context, ask: Callable[[Session], object]
):
    """Hashes are random: one page of the large table for each video that lacks a score."""
    plan = planned(filled, *asked(filled, ask))
    assert scans(plan, "thumbnails") == {"ix_thumbnails_purged"}


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
    at = big.NOW + timedelta(days=1)
    row = {"slot": at, "captured_at": at, "view_count": 5}
    # Of this transaction alone: others' reach the statistics when they please.
    read = text("SELECT sum(seq_scan) FROM pg_stat_xact_user_tables WHERE relname = ANY(:names)")
    names = {"names": ["newest_counts", "current_scores", "videos"]}
    changed = text("SELECT count(*) FROM current_scores WHERE views_per_day <= 5")
    with Session(filled.engine) as session:
        ids = session.execute(text("SELECT video_id FROM videos LIMIT 500")).scalars().all()
        before = session.execute(read, names).scalar_one()
        ensure_partitions_of(session.connection(), [at])
        assert videos.append_snapshots(session, [{"video_id": v, **row} for v in ids]) == 500
        assert session.execute(read, names).scalar_one() == before
        assert session.execute(changed).scalar_one() >= 2000
        # What was appended would have the swaps of these videos reckoned anew.
        session.rollback()
