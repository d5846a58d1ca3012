"""Days of crawling under faults, compared snapshot by snapshot with the truth."""

from datetime import UTC, datetime, timedelta

import pytest

from services.context import Context
from services.emulator.faults import CALLS, FaultPlan
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
    with replaying(context, catalog, faults=faults, killed=0.3) as replay:
        replay.until(EPOCH + timedelta(days=DAYS))
        found = replay.audit(patience=PATIENCE)
    assert found.findings == {}
    assert found.skipped == 0
    assert found.late[0] < timedelta(hours=1)
    assert found.checked["video values"] > 600
    assert all(replay.queue.counts.values()) or not faults.share


WRONG_HOURS = ((20, 23), (26, 30), (50, 62))
"""Since the epoch; the second begins six hours after the first, when it is asked again."""


@pytest.mark.parametrize(
    ("of_api", "of_pictures"), [("nothing", "portal"), ("not_found", "not_found")]
)
def test_hours_that_are_wrong_for_everybody_leave_no_trace_but_their_gap(
    context: Context, of_api: str, of_pictures: str
):
    wrong = FaultPlan.model_validate(
        {"rates": {**{call: {of_api: 1} for call in CALLS}, "thumbnails": {of_pictures: 1}}}
    )
    catalog = living_catalog(seed=2, epoch=EPOCH, days=4, channels=5, videos=50, life=EVENTFUL)
    with replaying(context, catalog, faults=FaultPlan(), killed=0) as replay:
        for begin, end in WRONG_HOURS:
            replay.until(EPOCH + timedelta(hours=begin))
            replay.strike(wrong)
            replay.until(EPOCH + timedelta(hours=end))
            replay.strike(FaultPlan())
        replay.until(EPOCH + timedelta(days=4))
        found = replay.audit(patience=timedelta(hours=18))
    assert found.findings == {}
    assert found.checked["gone"] > 50
