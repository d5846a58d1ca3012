"""How often a crawl that is under way is looked at."""

import time
from typing import Any

import pytest

from services.context import Context
from services.crawl import runs
from services.emulator.synthetic import synthetic_catalog
from tests.support.crawl import NOW, offline_crawl


def test_a_crawl_that_takes_long_to_count_ends_though_the_clock_stands_still(
    context: Context, monkeypatch: pytest.MonkeyPatch
):
    count = runs.progress

    def slowly(*args: Any, **kwargs: Any) -> Any:
        time.sleep(0.1)
        return count(*args, **kwargs)

    monkeypatch.setattr(runs, "progress", slowly)
    catalog = synthetic_catalog(seed=3, epoch=NOW, channels=1, videos=5)
    with offline_crawl(context, catalog) as crawl:
        assert crawl.run().state == "succeeded"
