"""What is bent becomes unknown, is refused or set aside, as the list says; the rest is exact."""

import pytest

from services.context import Context
from services.crawl import runs
from services.emulator.odd import CHANNEL_BENDS, VIDEO_BENDS
from services.emulator.synthetic import synthetic_catalog
from services.work import jobs
from services.youtube.gateway import YouTubeGateway
from tests.support.crawl import NOW, Crawl, offline_crawl
from tests.support.emulator import fetch
from tests.support.odd import deviations


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch):
    defaults = {**(YouTubeGateway.__init__.__kwdefaults__ or {}), "wait": lambda _s: None}
    monkeypatch.setattr(YouTubeGateway.__init__, "__kwdefaults__", defaults)


def minutes_of(crawl: Crawl, *, most: float = 3.0) -> float:
    """Crawl; return for how many minutes it stood still before it had ended."""
    job_id = runs.start(crawl.context)
    for quarter in range(int(4 * most) + 1):
        crawl.settle()
        job = jobs.view(crawl.context, job_id)
        if job.state != "running":
            assert job.state == "succeeded", job
            return quarter / 4
        crawl.turn(seconds=15)
    raise AssertionError(f"it goes on: {job.progress_message}")


def bend(crawl: Crawl, share: float) -> None:
    fetch(f"{crawl.url}/emulator/faults", data=f'{{"odd": {share}}}'.encode())


def test_each_way_to_bend_something_is_told_apart_by_its_name():
    names = [b.name for b in (*VIDEO_BENDS, *CHANNEL_BENDS)]
    assert len(set(names)) == len(names) >= 40
    assert {b.outcome for b in VIDEO_BENDS} == {"exact", "null", "refused", "set aside"}


@pytest.mark.slow
def test_every_way_to_bend_something_comes_to_what_it_must(context: Context):
    catalog = synthetic_catalog(
        seed=3, epoch=NOW, channels=2 * len(CHANNEL_BENDS), videos=6 * len(VIDEO_BENDS)
    )
    with offline_crawl(context, catalog) as crawl:
        bend(crawl, 0.5)
        assert minutes_of(crawl) <= 1
        truth = crawl.truth()
        seen = {how["how"] for how in truth["bent"].values()}
        assert seen == {b.name for b in (*VIDEO_BENDS, *CHANNEL_BENDS)}
        assert deviations(context, crawl.truth_at, crawl.clock()) == []
