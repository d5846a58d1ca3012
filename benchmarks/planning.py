"""Finding what lacks a score, page by page: each page a transaction, none slower for the others."""

import tracemalloc

from benchmarks import big, place
from benchmarks.measure import Measurement, timed
from db.queries.learning import unscored
from services.context import Context
from services.learning.thumbnails.planning import PAGE

VIDEOS, FULL_VIDEOS = 100_000, 1_000_000
SCORED, LACKING = [1, 2, 3, 4], [1, 2, 3, 4, 5]
PAGE_S, TIMES, MEGABYTES = 1.0, 3.0, 20.0


def measure(*, full: bool) -> list[Measurement]:
    """Read the whole catalogue where nothing lacks a score, and where everything does."""
    videos = FULL_VIDEOS if full else VIDEOS
    with place.folder() as folder, place.empty_context(folder) as context:
        big.fill(context, big.Size(videos))
        found = []
        for what, models in (("nothing", SCORED), ("everything", LACKING)):
            seconds, lacking, peak = _pages(context, models)
            assert lacking == (videos if models is LACKING else 0)
            name = f"{videos:,} videos of which {what} lacks a score"
            typical = sorted(seconds)[len(seconds) // 2]
            found += [
                Measurement(
                    f"{name}, the slowest page of {PAGE:,}",
                    f"{1000 * max(seconds):.0f} ms",
                    f"all {len(seconds)} pages, {sum(seconds):.1f} s",
                    max(seconds),
                    at_most=PAGE_S,
                ),
                Measurement(
                    f"{name}, the last pages",
                    f"{1000 * sorted(seconds[-9:])[len(seconds[-9:]) // 2]:.0f} ms",
                    f"any page, {1000 * typical:.0f} ms",
                    sorted(seconds[-9:])[len(seconds[-9:]) // 2] / typical,
                    at_most=TIMES,
                ),
                Measurement(f"{name}, memory", f"{peak:.1f} MB", "–", peak, at_most=MEGABYTES),
            ]
    return found


def _pages(context: Context, models: list[int]) -> tuple[list[float], int, float]:
    """Return the seconds of each page, how many lacked a score, and the most memory in MB."""
    seconds: list[float] = []
    lacking = 0
    before: unscored.Key | None = None
    tracemalloc.start()
    while True:
        pages: list[unscored.Page] = []

        def ask(pages: list[unscored.Page] = pages, before: unscored.Key | None = before) -> None:
            with context.transaction() as session:
                pages.append(
                    unscored.page(session, model_version_ids=models, before=before, limit=PAGE)
                )

        seconds.append(timed(ask))
        lacking += len(pages[0].video_ids)
        if (before := pages[0].last) is None:
            break
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    return seconds, lacking, peak
