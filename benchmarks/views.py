"""What analysts ask of a big database, as they do: first pages, and one rung added up."""

from collections.abc import Callable
from statistics import median

from sqlalchemy import text
from sqlalchemy.orm import Session

from benchmarks import big, place
from benchmarks.measure import Measurement, timed
from db.queries.catalog import completeness, swaps, videos
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
    "completeness_gaps": "",
    "completeness": "",
}
README = """
    SELECT title, views_per_day, predicted_views_per_day FROM scored_videos
    WHERE rung = 'subscribers+thumbnail' ORDER BY log10_residual DESC LIMIT 5
"""
TENTHS = """
    SELECT width_bucket(probability_over, 0, 1, 10) AS tenth, count(*),
        avg(probability_over), avg(is_over_threshold::int)
    FROM scored_videos WHERE rung = 'thumbnail' GROUP BY tenth
"""
NO_CONTROLS = """
    SELECT video_id, changed_at, window_days, ratio FROM thumbnail_changes
    WHERE ratio IS NOT NULL ORDER BY changed_at DESC LIMIT 20
"""


def measure(*, full: bool) -> list[Measurement]:
    """Ask a database of a million videos and four models (a tenth of that by default)."""
    n = MANY_VIDEOS if full else VIDEOS
    with (
        place.folder() as folder,
        place.empty_context(folder, clock=lambda: big.NOW) as context,
    ):
        big.fill(context, big.Size(n, swaps=n // 100))
        return ask(context, n)


def ask(context: Context, n: int) -> list[Measurement]:
    """Ask a filled database of ``n`` videos everything."""
    with context.transaction() as session:
        hashes = list(session.scalars(text("SELECT thumbnail_sha256 FROM thumbnails LIMIT 200")))
        models = list(session.scalars(text("SELECT scored_models()")))
    queries: list[tuple[str, float | None, Callable[[Session], object]]] = [
        ("the README's query", PAGE_MS, _query(README)),
        ("swaps without controls, 20", PAGE_MS, _query(NO_CONTROLS)),
        *(
            (f"{view}, 20 rows", PAGE_MS, _query(f"SELECT * FROM {view} {order} LIMIT 20"))
            for view, order in PAGES.items()
        ),
        ("one rung added up by tenths", SUM_MS, _query(TENTHS)),
        ("scored_videos counted", SUM_MS, _query("SELECT count(*) FROM scored_videos")),
        (
            "nothing to score",
            SUM_MS,
            lambda session: videos.to_score(
                session, model_version_ids=models, now=big.NOW, after="", limit=512
            ),
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
