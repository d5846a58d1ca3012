"""How much memory the processes of the crawl worker take after some work."""

import time
from pathlib import Path

import psutil

from benchmarks import place
from benchmarks.measure import Measurement
from services import embedded
from services.context import Context
from services.crawl import intake, runs
from services.embedded.home import Home
from services.embedded.identity import ProcessId
from services.work import jobs

MEGABYTE = 1_000_000


def measure(*, full: bool) -> list[Measurement]:
    """Crawl with real workers, then look at the crawl worker's processes."""
    del full
    with (
        place.folder() as folder,
        place.youtube(folder, channels=60, videos=3_000) as youtube,
    ):
        settings = place.crawling_settings(folder, youtube)
        with embedded.stack(settings, workers=True, durable=False) as endpoints:
            context = Context(endpoints.applied_to(settings))
            try:
                for _ in range(2):
                    _crawl(context, youtube.channel_ids)
            finally:
                context.close()
            worker = _worker(folder / "home")
            processes = [worker, *worker.children(recursive=True)]
            largest = max(p.memory_info().rss for p in processes) / MEGABYTE
            together = sum(p.memory_full_info().pss for p in processes) / MEGABYTE
            torches = sum("torch" in m.path for p in processes for m in p.memory_maps())
    return [
        Measurement(
            "crawl worker, its largest process",
            f"{largest:.0f} MB",
            "—",
            largest,
            at_most=150,
        ),
        Measurement(
            f"crawl worker, its {len(processes)} processes together",
            f"{together:.0f} MB",
            "shared pages counted once",
            together,
        ),
        Measurement("files of torch mapped by it", f"{torches}", "—", torches, at_most=0),
    ]


def _crawl(context: Context, channel_ids: list[str]) -> None:
    intake.add_all(context, channel_ids)
    for job in jobs.watch(context, runs.start(context)):
        last = job
    jobs.succeeded(last)


def _worker(home: Path) -> psutil.Process:
    """Return the crawl worker's main process, settled after the work."""
    time.sleep(2)
    entry = Home(home).read_state("supervisor")["processes"]["crawl"]["process"]
    process = ProcessId.from_json(entry)
    assert process is not None
    return psutil.Process(process.pid)
