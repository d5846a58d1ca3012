"""What is kept of swaps: the view says what it said when it reckoned everything anew."""

import pytest

from services import tick
from services.context import Context
from tests.support.catalogue import Catalogue
from tests.support.kept_swaps import NOW, A, Happenings, both, keep_all, make_view_before

KEPT = (
    "SELECT count(*) FROM kept_swaps WHERE NOT is_stale AND span IS NOT NULL AND control_videos > 0"
)


@pytest.fixture
def catalogue(context: Context) -> Catalogue:
    return Catalogue(context, NOW)


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 8))]
)
def test_the_view_says_what_it_said_when_it_reckoned_everything(catalogue: Catalogue, seed: int):
    make_view_before(catalogue.context)
    happenings = Happenings(catalogue, seed)
    kept = rated = 0
    for _ in range(120):
        step = happenings.draw.choice(happenings.steps())
        step()
        ours, theirs = both(catalogue)
        assert ours == theirs, step.__name__
        kept += catalogue.sql(KEPT)[0][0]
        rated += len([one for one in theirs if one["control_videos"]])
    # Much of what was compared was kept, or nothing was shown.
    assert rated > 100
    assert kept > 50
    tick.add_up(catalogue.context)
    keep_all(happenings)
    ours, theirs = both(catalogue)
    assert ours == theirs
    assert catalogue.sql("SELECT count(*) FROM kept_swaps WHERE is_stale") == [(0,)]
    assert catalogue.sql("SELECT count(*) FROM kept_swaps") == [(len(theirs),)]
    catalogue.sql("DELETE FROM channels WHERE channel_id = :c", c=A)
    ours, theirs = both(catalogue)
    assert ours == theirs
    tick.keep_swaps(catalogue.context, for_s=60)
    assert catalogue.sql("SELECT count(*) FROM kept_swaps") == [(len(theirs),)]
