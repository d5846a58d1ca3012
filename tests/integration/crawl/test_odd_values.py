"""Values that cannot be kept are counted by field and day, with a few of them as examples."""

from services.crawl import odd
from services.crawl.odd import OddField, described, lately, note
from services.work import maintenance
from services.youtube.facts import Oddity
from tests.support.operations import Operations, operations

__all__ = ["operations"]


def come(operations: Operations, field: str, *values: str) -> None:
    note(operations.context, [Oddity("oddValue", field, value) for value in values])


def test_a_row_is_a_day_and_a_field_however_much_comes(operations: Operations):
    for n in range(50):
        come(operations, "duration", f"'P{n}M'", "'P1M'")
    come(operations, "viewCount", "'18446744073709551615'")
    assert operations.sql(
        "SELECT field, items, (SELECT count(*) FROM jsonb_object_keys(examples)), "
        "examples ->> '''P1M''' FROM odd_values ORDER BY field"
    ) == [("duration", 100, 8, "51"), ("viewCount", 1, 1, None)]


def test_those_of_seven_days_are_summed_up_and_said_in_a_line(operations: Operations):
    come(operations, "duration", "'P1Y'")
    operations.turn(days=8)
    come(operations, "duration", "'P1M'", "'P1M'")
    operations.turn(days=3)
    come(operations, "liveBroadcastContent", "'x'", "'x'", "'x'", "'y'")
    come(operations, "duration", "'P1M'")
    found = lately(operations.context)
    assert found == [
        OddField("liveBroadcastContent", 4, {"'x'": 3, "'y'": 1}),
        OddField("duration", 3, {"'P1M'": 3}),
    ]
    assert described(found) == (
        "7 odd values became unknown: duration 'P1M' ×3, liveBroadcastContent 'x' ×3, "
        "liveBroadcastContent 'y' ×1"
    )


def test_a_line_is_short_whatever_there_is(operations: Operations):
    come(operations, "duration", *(f"'P{n}M'" for n in range(30)))
    line = described(lately(operations.context))
    assert line.startswith("30 odd values became unknown: duration ")
    assert line.endswith(", …")
    assert line.count("×") == odd.MOST_SHOWN


def test_what_came_while_something_ran_is_told_from_what_came_before(operations: Operations):
    come(operations, "duration", "'P1M'", "'P2M'")
    with operations.context.transaction() as session:
        before = odd.so_far(session, now=operations.clock())
        assert odd.since(session, before) == []
    come(operations, "duration", "'P1M'")
    operations.turn(days=1)
    come(operations, "duration", "'P3M'")
    with operations.context.transaction() as session:
        assert odd.since(session, before) == [OddField("duration", 2, {"'P1M'": 1, "'P3M'": 1})]


def test_upkeep_forgets_them_after_a_month(operations: Operations):
    class Job:
        def progress(self, *_: object) -> None:
            pass

    come(operations, "duration", "'P1M'")
    operations.turn(days=30)
    maintenance.work(operations.context, Job())
    assert operations.sql("SELECT count(*) FROM odd_values") == [(1,)]
    operations.turn(days=1)
    maintenance.work(operations.context, Job())
    assert operations.sql("SELECT count(*) FROM odd_values") == [(0,)]
