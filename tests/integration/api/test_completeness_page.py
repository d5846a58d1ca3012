"""The map of what was collected: as large whether of few days or of many."""

from services.api.pages.completeness import CELLS
from tests.support.api import client_of
from tests.support.operations import Operations, operations

__all__ = ["operations"]

DAYS = 60


def test_over_many_days_fewer_channels_are_shown_and_all_are_counted(operations: Operations):
    operations.make_work("channel.snapshot", CELLS // DAYS + 5)
    operations.turn(hours=2)
    with client_of(operations.context) as client:
        html = {"Accept": "text/html"}
        few = client.get("/completeness", headers=html).text
        many = client.get(f"/completeness?days={DAYS}", headers=html).text
    assert "channels that miss less" not in few
    assert 'and <data value="5">5</data> channels that miss less' in many
    assert f'<data value="{CELLS // DAYS + 5}">' in many
