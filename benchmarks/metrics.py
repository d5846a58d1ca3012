"""What metrics cost: counts of videos read with and without, and a scrape of everything."""

import os
import tempfile
import uuid
from collections.abc import Callable
from datetime import timedelta
from functools import partial

from prometheus_client import CollectorRegistry, generate_latest, values
from prometheus_client.multiprocess import MultiProcessCollector

from benchmarks import place
from benchmarks.measure import Measurement, interleaved, processor_seconds
from db.queries.work import crawled, work_items
from services.api.figures import Standing
from services.clock import system_clock
from services.context import Context
from services.crawl import discovery, intake, statistics
from services.demo import KEY
from services.metrics import recording, serving
from services.metrics.instruments import COUNTED
from services.work.kinds import WORK_KINDS

CHANNELS, VIDEOS, ROUNDS = 10, 1_000, 9
SCRAPED_EVERY_S = 15


def measure(*, full: bool) -> list[Measurement]:
    """Read every video's counts again and again, by turns counted and not."""
    with (
        tempfile.TemporaryDirectory() as counted_in,
        place.folder() as folder,
        place.youtube(folder, channels=CHANNELS, videos=VIDEOS) as youtube,
        place.empty_context(
            folder,
            youtube_endpoint=youtube.url,
            thumbnail_url=youtube.url,
            youtube_api_key=KEY,
            youtube_daily_units=10**7,
        ) as context,
    ):
        os.environ[serving.FOLDER] = counted_in
        # As in a worker's pool: into files that others read.
        values.ValueClass = values.MultiProcessValue(lambda: "pool-0")  # type: ignore[no-untyped-call]
        intake.add_all(context, youtube.channel_ids)
        _do_all(context, "channel.discover", discovery.discover_channels)
        _do_all(context, "video.snapshot", statistics.snapshot_videos)
        crawl = partial(_crawl, context)
        without, counted = interleaved(
            [partial(_counted, crawl, on=False), partial(_counted, crawl, on=True)],
            rounds=3 * ROUNDS if full else ROUNDS,
        )
        _switch(on=True)
        pool, whole = CollectorRegistry(), CollectorRegistry()
        MultiProcessCollector(pool)  # type: ignore[no-untyped-call]
        whole.register(Standing(context, remembered_s=0, slowly_s=0))
        scrapes = [
            partial(processor_seconds, partial(generate_latest, each)) for each in (pool, whole)
        ]
        of_pool, of_whole = interleaved(scrapes, rounds=ROUNDS)
        recording.switch_off()
        del os.environ[serving.FOLDER]
    return [
        Measurement(
            f"processor time of {VIDEOS:,} counts, counted",
            f"{counted * 1e3:.1f} ms",
            f"{without * 1e3:.1f} ms without metrics",
            counted / without,
            at_most=1.02,
        ),
        Measurement(
            "processor time of a worker's scrape, every 15 s",
            f"{of_pool * 1e3:.2f} ms",
            "a core",
            of_pool * (1 / SCRAPED_EVERY_S),
            at_most=0.02,
        ),
        Measurement(
            "processor time of the API's scrape, nothing remembered, every 15 s",
            f"{of_whole * 1e3:.2f} ms",
            "a core",
            of_whole * (1 / SCRAPED_EVERY_S),
            at_most=0.02,
        ),
    ]


def _counted(crawl: Callable[[], object], *, on: bool) -> float:
    _switch(on=on)
    return processor_seconds(crawl)


def _switch(*, on: bool) -> None:
    recording.switch_off()
    if on:
        recording.switch_on(COUNTED, CollectorRegistry())


def _crawl(context: Context) -> None:
    with context.transaction() as session:
        due = crawled.make_due(
            session, kinds=["video.snapshot"], channel_ids=None, now=system_clock()
        )
    assert due == VIDEOS
    _do_all(context, "video.snapshot", statistics.snapshot_videos, ahead=timedelta(minutes=1))


def _do_all(
    context: Context,
    kind: str,
    work: Callable[[Context, uuid.UUID], int],
    *,
    ahead: timedelta = timedelta(),
) -> None:
    while True:
        with context.transaction() as session:
            token = work_items.claim(
                session,
                kind,
                limit=WORK_KINDS[kind].batch_size,
                now=system_clock() + ahead,
                lease=timedelta(hours=1),
            )
        if token is None:
            return
        work(context, token)
