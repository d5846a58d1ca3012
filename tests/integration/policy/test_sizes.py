"""How large everything is, and how fast it grows, without counting."""

from datetime import timedelta

import pytest
from sqlalchemy import event, text

from db.queries.policy import sizes as size_rows
from services.context import Context
from services.policy import sizes
from services.policy.sizes import Sizes
from tests.support.databases import owner_engine
from tests.support.nights import NOW, add_night, add_videos


def of(measured: Sizes) -> dict[str, sizes.KindSize]:
    return {each.kind: each for each in measured.kinds}


def analyse(context: Context) -> None:
    with owner_engine(context) as engine, engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("ANALYZE"))


@pytest.fixture
def grown(context: Context) -> Context:
    context.clock = lambda: NOW
    add_videos(context, 300)
    add_night(context, 1)
    analyse(context)
    return context


def test_rows_and_bytes_are_told_of_every_table_and_kind_of_object(grown: Context):
    found = of(sizes.measure(grown))
    assert found["scores"].rows == 2 * 300
    assert found["scores"].bytes > 2 * 300 * 100
    assert (found["pictures"].rows, found["pictures"].bytes) == (300, 300 * 9)
    assert (found["audio"].rows, found["segments"].rows) == (30, 0)
    assert found[sizes.LEARNED].rows == 3 + 2
    assert found[sizes.LEARNED].bytes == sum(map(len, grown.store.get_many(grown.store.names())))
    assert not [kind for kind in found if kind.startswith("video_snapshots_")]
    assert found["videos"].bytes_per_day is None


def test_growth_is_that_of_the_last_days_and_a_year_of_it(grown: Context):
    sizes.record(grown)
    before = of(sizes.measure(grown))
    assert before["scores"].bytes_per_day is None
    for days in (2, 3, 4, 5):
        add_night(grown, days)
    analyse(grown)
    grown.clock = lambda: NOW + timedelta(days=4)
    sizes.record(grown)
    measured = sizes.measure(grown)
    found = of(measured)
    assert measured.since == NOW
    growth = found["scores"].bytes - before["scores"].bytes
    assert growth > 0
    assert found["scores"].bytes_per_day == growth / 4
    assert found["scores"].bytes_per_year == growth / 4 * 365
    assert measured.total.bytes_per_day == sum(each.bytes_per_day or 0 for each in measured.kinds)
    # What was measured longer ago says nothing of the present pace.
    grown.clock = lambda: NOW + timedelta(days=16)
    assert sizes.measure(grown).since == NOW + timedelta(days=4)


def test_of_large_tables_a_sample_is_looked_at_and_nothing_is_counted(
    grown: Context, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(size_rows, "SAMPLED_PAGES", 2)
    asked = []

    @event.listens_for(grown.engine, "after_cursor_execute")
    def note(_connection, _cursor, statement, *_rest: object) -> None:
        asked.append(statement)

    found = of(sizes.measure(grown))
    counting = [s for s in asked if "count(" in s]
    assert len(counting) == 4
    assert all("TABLESAMPLE SYSTEM" in s for s in counting)
    # The pages of one table hold about as many rows each.
    assert found["pictures"].rows == pytest.approx(300, rel=0.7)
