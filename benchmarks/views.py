"""What analysts ask of a big database, as they do: first pages, and one rung added up."""

from collections.abc import Callable
from datetime import timedelta
from statistics import median

from sqlalchemy import text
from sqlalchemy.orm import Session

from benchmarks import big, place
from benchmarks.measure import Measurement, timed
from db.queries.catalog import completeness, swaps
from db.queries.learning import unscored
from db.queries.policy import objects
from services.context import Context

VIDEOS, MANY_VIDEOS = 100_000, 1_000_000
ROUNDS = 5
PAGE_MS, SUM_MS = 50.0, 2_000.0

PAGES = {
    "scored_videos": "WHERE rung = 'thumbnail' ORDER BY log10_residual DESC",
    "thumbnail_changes": "ORDER BY changed_at DESC",
    "language_results": "",
    "language_labels_in_force": "",
    "language_claims": "",
    "model_comparison": "",
    "champion_ladders": "",
    "promotion_history": "ORDER BY promotion_id DESC",
    "drift_findings": "ORDER BY drift_report_id DESC",
    "completeness_gaps": "ORDER BY day DESC",
    "completeness": "ORDER BY day DESC",
}
PAGE = 50
OUTAGE = "UPDATE work_items SET slot = slot - :for, ready_at = ready_at - :for"
README = """
    SELECT title, views_per_day, predicted_views_per_day FROM scored_videos
    WHERE rung = 'subscribers+thumbnail' ORDER BY log10_residual DESC LIMIT 5
"""
TENTHS = """
    SELECT width_bucket(probability_over, 0, 1, 10) AS tenth, count(*),
        avg(probability_over), avg(is_over_threshold::int)
    FROM scored_videos WHERE rung = 'thumbnail' GROUP BY tenth
"""
SWAPS = """
    SELECT video_id, changed_at, window_days, ratio / nullif(control_ratio, 0)
    FROM thumbnail_changes
    WHERE ratio IS NOT NULL AND control_videos >= 5 ORDER BY changed_at DESC LIMIT 20
"""
SWAPS_OF_A_CHANNEL = """
    SELECT * FROM thumbnail_changes WHERE channel_id = (SELECT min(channel_id) FROM channels)
    ORDER BY changed_at DESC LIMIT 50
"""
ALL_SWAPS = """
    SELECT count(*), percentile_cont(0.5) WITHIN GROUP (ORDER BY ln(ratio / control_ratio))
    FROM thumbnail_changes WHERE ratio > 0 AND control_ratio > 0
"""


def measure(*, full: bool) -> list[Measurement]:
    """Ask a database of a million videos and four models (a tenth of that by default)."""
    n = MANY_VIDEOS if full else VIDEOS
    with (
        place.folder() as folder,
        place.empty_context(folder, clock=lambda: big.NOW) as context,
    ):
        big.fill(context, big.Size(n, swaps=n // 100))
        big.keep_swaps(context)
        return ask(context, n) + ask_after_an_outage(context, n)


def ask_after_an_outage(context: Context, n: int) -> list[Measurement]:
    """Ask what is complete after nothing was collected for ten days: all is overdue."""
    with context.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SET statement_timeout = 0"))
        connection.execute(text(OUTAGE), {"for": timedelta(days=10)})
        connection.execute(text("VACUUM ANALYZE work_items"))
    return [
        Measurement(
            f"{view}, {PAGE} rows, with everything overdue, of {n:,} videos",
            f"{ms:,.1f} ms",
            "–",
            ms,
        )
        for view in ("completeness", "completeness_gaps")
        for ms in (_milliseconds(context, _query(f"SELECT * FROM {view} LIMIT {PAGE}")),)
    ]


def ask(context: Context, n: int) -> list[Measurement]:
    """Ask a filled database of ``n`` videos everything."""
    with context.transaction() as session:
        hashes = list(session.scalars(text("SELECT thumbnail_sha256 FROM thumbnails LIMIT 200")))
        models = list(session.scalars(text("SELECT scored_models()")))
    queries: list[tuple[str, float | None, Callable[[Session], object]]] = [
        ("the README's query", PAGE_MS, _query(README)),
        ("swaps beyond their controls, 20", PAGE_MS, _query(SWAPS)),
        ("swaps of a channel", PAGE_MS, _query(SWAPS_OF_A_CHANNEL)),
        ("all swaps added up", SUM_MS, _query(ALL_SWAPS)),
        *(
            (f"{view}, {PAGE} rows", PAGE_MS, _query(f"SELECT * FROM {view} {order} LIMIT {PAGE}"))
            for view, order in PAGES.items()
        ),
        ("one rung added up by tenths", SUM_MS, _query(TENTHS)),
        ("scored_videos counted", SUM_MS, _query("SELECT count(*) FROM scored_videos")),
        (
            "nothing to score",
            SUM_MS,
            lambda session: unscored.count(session, model_version_ids=models),
        ),
        (
            "the newest 2,000 swaps",
            SUM_MS,
            lambda session: swaps.changes(session, as_of=big.NOW, most=2_000),
        ),
        (
            "which of 200 pictures are scored",
            PAGE_MS,
            lambda session: objects.scored_pictures(session, hashes),
        ),
        (
            "completeness of a channel",
            PAGE_MS,
            _query(
                "SELECT * FROM completeness WHERE channel_id = (SELECT min(channel_id) "
                f"FROM channels) ORDER BY day DESC LIMIT {PAGE}"
            ),
        ),
        ("completeness added up", None, _query("SELECT sum(collected) FROM completeness")),
        (
            "completeness of a week",
            None,
            lambda session: completeness.by_day(
                session, since=big.NOW - big.WEEK, now=big.NOW, channel_id=None
            ),
        ),
    ]
    return [
        Measurement(f"{what}, of {n:,} videos", f"{ms:,.1f} ms", "–", ms, at_most=budget)
        for what, budget, query in queries
        for ms in (_milliseconds(context, query),)
    ]


def _query(statement: str) -> Callable[[Session], object]:
    return lambda session: session.execute(text(statement)).all()


def _milliseconds(context: Context, query: Callable[[Session], object]) -> float:
    """Return how long a query takes, the first time not counted: the pages are in memory then."""

    def once() -> None:
        with context.transaction() as session:
            query(session)

    return 1000 * median([timed(once) for _ in range(ROUNDS + 1)][1:])
