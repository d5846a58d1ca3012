"""Days of crawling under faults, compared snapshot by snapshot with the truth."""

from datetime import UTC, datetime, timedelta

import pytest

from services.context import Context
from services.emulator.faults import FaultPlan
from services.emulator.living import Life, living_catalog
from tests.support.replay import replaying

EPOCH = datetime(2026, 10, 28, 9, 30, tzinfo=UTC)
DAYS = 10
"""The clocks go back in California on the fifth of them: a Pacific day of 25 hours."""
PATIENCE = timedelta(hours=6)
EVENTFUL = Life(
    uploads=15, deleted=0.2, private=0.2, swapped=0.4, reencoded=0.2, closed=0.2, suspended=0.2,
    hiding=0.3,
)  # fmt: skip


@pytest.mark.parametrize(
    "faults",
    [FaultPlan(), FaultPlan(share=0.2, seed=3)],
    ids=["all well", "every fifth answer fails or lies"],
)
def test_ten_days_are_collected_as_they_were(context: Context, faults: FaultPlan):
    catalog = living_catalog(seed=2, epoch=EPOCH, days=DAYS, channels=8, videos=90, life=EVENTFUL)
    with replaying(context, catalog, faults=faults, killed=0.1) as replay:
        replay.until(EPOCH + timedelta(days=DAYS))
        found = replay.audit(patience=PATIENCE)
    assert found.findings == {}
    assert found.skipped == 0
    assert found.late[0] < timedelta(hours=1)
    assert found.checked["video values"] > 600
    assert all(replay.queue.counts.values()) or not faults.share
