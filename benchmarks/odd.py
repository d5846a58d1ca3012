"""A crawl of a YouTube in which five things in a hundred are bent, against one of a sound one."""

import json
import time
from datetime import UTC, datetime

from sqlalchemy import text

from benchmarks import place
from benchmarks.measure import Measurement
from services.context import Context
from services.crawl import intake, runs
from services.demo import KEY
from services.emulator.synthetic import synthetic_catalog
from services.tick import dispatch
from services.work import jobs
from tests.support.crawl import DirectQueue
from tests.support.emulator import fetch, running_emulator
from tests.support.odd import deviations

CHANNELS, VIDEOS = 400, 1_600
"""So many that each way to bend something comes up in five of a hundred."""
NOT_LONGER = 600.0


def measure(*, full: bool) -> list[Measurement]:
    """Crawl both, one after the other; the odd one must come to what its list says."""
    del full
    clean, _, _ = _crawl(odd=False)
    odd, n_bent, wrong = _crawl(odd=True)
    return [
        Measurement(
            f"crawl of {VIDEOS:,} videos, 5 % odd",
            f"{odd:.1f} s",
            f"none odd, {clean:.1f} s",
            odd / clean,
            at_most=2,
        ),
        Measurement(
            f"of {n_bent} odd things, come to something else",
            f"{len(wrong)}" + "".join(f"; {line}" for line in wrong[:5]),
            "0",
            len(wrong),
            at_most=0,
        ),
    ]


def _crawl(*, odd: bool) -> tuple[float, int, list[str]]:
    """Return the seconds of a crawl, how much was bent, and what came to something else."""
    epoch = datetime.now(UTC).replace(microsecond=0)
    catalog = synthetic_catalog(seed=7, epoch=epoch, channels=CHANNELS, videos=VIDEOS)
    with (
        place.folder() as folder,
        # Its counts stand still, so that whenever one was read it is the same.
        running_emulator(catalog, clock=lambda: epoch) as youtube,
        place.empty_context(
            folder,
            youtube_endpoint=youtube.url,
            thumbnail_url=youtube.url,
            youtube_api_key=KEY,
        ) as context,
    ):
        with context.engine.begin() as connection:
            connection.execute(text("DELETE FROM schedules"))
        context.__dict__["queue"] = DirectQueue(context)
        intake.add_all(context, list(catalog.channels))
        if odd:
            fetch(f"{youtube.url}/emulator/faults", data=b"odd")
        took = _seconds(context)
        truth = json.loads(fetch(f"{youtube.url}/emulator/truth").body)
        return took, len(truth["bent"]), deviations(context, lambda _moment: truth, epoch)


def _seconds(context: Context) -> float:
    """Return for how long a crawl goes on."""
    started = time.monotonic()
    job_id = runs.start(context)
    while (job := jobs.view(context, job_id)).state in ("queued", "running"):
        if time.monotonic() - started > NOT_LONGER:
            raise AssertionError(f"it goes on: {job.progress_message}")
        if not dispatch(context):
            time.sleep(0.1)
    assert job.state == "succeeded", job.error_message
    return time.monotonic() - started
