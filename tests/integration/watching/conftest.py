"""An offline crawl that is watched and has nothing to tell of."""

from collections.abc import Iterator

import pytest

from services.emulator.synthetic import synthetic_catalog
from tests.support.crawl import NOW
from tests.support.watched import Watched, watched_crawl

CATALOG = synthetic_catalog(seed=3, epoch=NOW, channels=4, videos=40)


@pytest.fixture
def watched(context) -> Iterator[Watched]:
    with watched_crawl(context, CATALOG) as made:
        made.crawl.settle()
        assert made.stays(hours=2) == set()
        yield made
