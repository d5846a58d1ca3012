"""What ends an item for good: a verdict heard twice, of a host that answers others well."""

import uuid
from collections.abc import Collection
from datetime import timedelta

import pytest

from db.queries.work import evidence, work_items
from services.errors import PermanentError, TransientError, UsageError
from services.work import breakers, leases
from services.work.verdicts import ALONE_FOR, ANSWERS_TO_BELIEVE, HEARD_APART, LATEST
from tests.support.operations import Operations, operations

__all__ = ["operations"]

KIND = "channel.snapshot"
GONE = PermanentError("YouTube no longer shows it", reason="channelNotFound")
DOWN = TransientError("no answer", reason="timeout")
HOUR = timedelta(hours=1)


def hear(
    operations: Operations,
    token: uuid.UUID,
    error: Exception,
    of: Collection[str] | None = None,
) -> set[str]:
    """Do a batch in which an error comes of some items, all by default; return what is believed."""
    with leases.begin(operations.context, token) as batch:
        bad = set(batch.items) if of is None else set(of) & set(batch.items)
        batch.fail(bad, error)
        with operations.context.transaction() as session:
            good = dict.fromkeys(set(batch.items) - bad, timedelta(hours=6))
            batch.complete(session, good, now=operations.clock())
            return set(batch.believed(session))
    raise AssertionError("a batch ends quietly")


def hear_all(
    operations: Operations, error: Exception, of: Collection[str] | None = None
) -> set[str]:
    """Do every batch that is due now."""
    return set().union(*(hear(operations, token, error, of) for token in operations.tokens()))


def states(operations: Operations) -> dict[str, int]:
    return dict(operations.sql("SELECT state, count(*) FROM work_items GROUP BY state"))


def host(operations: Operations) -> breakers.BreakerView:
    return next(b for b in breakers.listed(operations.context) if b.host == "data-api")


def ids(operations: Operations) -> list[str]:
    return [c for (c,) in operations.sql("SELECT entity_id FROM work_items ORDER BY 1")]


def test_what_everything_gets_for_answer_ends_nothing_and_opens_the_breaker(
    operations: Operations,
):
    operations.make_work(KIND, 60 * 50)
    for n, token in enumerate(operations.tokens()[: breakers.FAILURES_IN_A_ROW]):
        assert host(operations).failures == n
        assert hear(operations, token, GONE) == set()
    said = host(operations)
    assert (said.state, said.reason) == ("open", "channelNotFound")
    assert said.message == (
        "everything that was asked for got the answer: YouTube no longer shows it"
    )
    assert "failed" not in states(operations)


def test_a_portal_of_thirty_hours_ends_nothing_however_often_it_is_heard(operations: Operations):
    operations.make_work(KIND, 120)
    for _ in range(60):
        assert hear_all(operations, GONE) == set()
        operations.turn(minutes=30)
    assert states(operations) == {"due": 120}
    [(asked,)] = operations.sql("SELECT max(ready_at) FROM work_items")
    assert asked - operations.clock() <= LATEST
    operations.turn(hours=3)
    for token in operations.tokens():
        operations.work_on(token)
    operations.turn(minutes=20)
    for token in operations.tokens():
        operations.work_on(token)
    assert host(operations).state == "closed"
    assert operations.sql("SELECT count(*) FROM work_items WHERE done_at IS NULL") == [(0,)]


def test_a_verdict_beside_good_answers_is_believed_the_second_time_hours_later(
    operations: Operations,
):
    operations.make_work(KIND, 10)
    gone = ids(operations)[:2]
    assert hear_all(operations, GONE, of=gone) == set()
    assert operations.sql(
        "SELECT DISTINCT state, ready_at, attempts FROM work_items WHERE entity_id = ANY(:g)",
        g=gone,
    ) == [("due", operations.clock() + HEARD_APART, 0)]
    operations.turn(hours=5, minutes=59)
    operations.sql("UPDATE work_items SET ready_at = :now", now=operations.clock())
    assert hear_all(operations, GONE, of=gone) == set()  # asked by hand: not long enough ago
    operations.turn(minutes=1)
    operations.sql("UPDATE work_items SET ready_at = :now", now=operations.clock())
    assert hear_all(operations, GONE, of=gone) == set(gone)
    assert states(operations) == {"failed": 2, "due": 8}


def test_one_that_goes_well_in_between_is_in_doubt_no_more(operations: Operations):
    operations.make_work(KIND, 3)
    gone = ids(operations)[:1]
    hear_all(operations, GONE, of=gone)
    operations.turn(hours=6)
    hear_all(operations, GONE, of=[])
    operations.turn(hours=6)
    assert hear_all(operations, GONE, of=gone) == set()
    assert operations.sql("SELECT count(*) FROM work_items WHERE doubted_at IS NOT NULL") == [(1,)]


@pytest.mark.parametrize("n", [1, 50])
def test_a_batch_of_nothing_but_the_gone_is_believed_once_others_went_well(
    operations: Operations, n: int
):
    """A deleted channel's items fall due together; alone they are heard for a day."""
    operations.make_work(KIND, n)
    dead, heard = ids(operations), 0
    while operations.clock() < heard_from(operations) + ALONE_FOR + 2 * HOUR:
        assert hear_all(operations, GONE, of=dead) == set()
        operations.turn(minutes=30)
        heard += 1
    assert states(operations) == {"due": n}  # nothing else was ever asked
    others = operations.watch(n + 5)[n:]
    with operations.context.transaction() as session:
        work_items.add_items(session, KIND, [(c, c) for c in others], slot=operations.clock())
    while "failed" not in states(operations):
        for token in operations.tokens():
            hear(operations, token, GONE, of=dead)
        operations.turn(minutes=30)
        heard += 1
        assert heard < 80
    assert states(operations) == {"failed": n, "due": 5}
    assert host(operations).state == "closed"


def heard_from(operations: Operations):
    """When the first doubt began; now, before there is one."""
    [(first,)] = operations.sql("SELECT min(doubted_at) FROM work_items")
    return first or operations.clock()


def test_trouble_that_comes_back_six_hours_later_ends_nothing(operations: Operations):
    operations.make_work(KIND, 40)
    for _ in range(2):
        assert hear_all(operations, GONE) == set()
        operations.turn(hours=3)
        with operations.context.transaction() as session:
            # Something else of the kind goes well between the two.
            evidence.note_good_answer(session, KIND, at=operations.clock())
        operations.turn(hours=3)
        operations.sql("UPDATE work_items SET ready_at = :now", now=operations.clock())
    assert hear_all(operations, GONE) == set()
    assert states(operations) == {"due": 40}


def test_a_call_that_is_refused_as_a_whole_says_nothing_of_its_items(operations: Operations):
    operations.make_work(KIND, 50)
    for _ in range(60):
        with operations.context.transaction() as session:
            evidence.note_good_answer(session, KIND, at=operations.clock())
        for token in operations.tokens():
            operations.work_on(token, PermanentError("YouTube refuses", reason="badRequest"))
        operations.turn(hours=1)
    assert states(operations) == {"due": 50}


def test_a_host_that_fails_uses_up_nobodys_attempts(operations: Operations):
    operations.make_work(KIND, 1)
    for _ in range(40):
        hear_all(operations, DOWN)
        operations.turn(hours=1)
    assert states(operations) == {"due": 1}
    assert operations.sql("SELECT attempts FROM work_items") == [(1,)]


def test_an_item_that_fails_while_others_go_well_is_given_up_as_ever(operations: Operations):
    operations.make_work(KIND, 2)
    bad = ids(operations)[:1]
    for _ in range(8):
        operations.sql("UPDATE work_items SET ready_at = :now WHERE state = 'due'",
                       now=operations.clock())  # fmt: skip
        hear_all(operations, DOWN, of=bad)
        operations.turn(minutes=61)
    assert states(operations) == {"failed": 1, "due": 1}


def test_what_chance_can_say_takes_many_answers_and_hours(operations: Operations):
    operations.make_work(KIND, 2)
    bad, odd = ids(operations)[:1], PermanentError("no count", reason="malformedCount")
    began = operations.clock()
    heard = 0
    while operations.clock() - began < timedelta(days=1):
        heard += 1
        operations.sql("UPDATE work_items SET ready_at = :now WHERE state = 'due'",
                       now=operations.clock())  # fmt: skip
        if hear_all(operations, odd, of=bad):
            break
        operations.turn(minutes=20)
    assert heard > ANSWERS_TO_BELIEVE
    assert operations.clock() - began == HEARD_APART
    assert states(operations) == {"failed": 1, "due": 1}


def test_a_wrong_setting_is_nobodys_end(operations: Operations):
    operations.make_work(KIND, 5)
    [token] = operations.tokens()
    operations.work_on(token, UsageError("there is no such variant", reason="badVariant"))
    assert states(operations) == {"due": 5}
    assert (host(operations).state, host(operations).reason) == ("open", "badVariant")


@pytest.mark.parametrize("error", [GONE, DOWN])
def test_what_is_collected_once_is_tried_for_a_week_with_nobody_beside_it(
    operations: Operations, error: Exception
):
    operations.make_work("video.audio", 2)
    began, asked = operations.clock(), 0
    while "failed" not in states(operations):
        for token in operations.tokens():
            hear(operations, token, error)
            asked += 1
        operations.turn(hours=1)
        assert operations.clock() - began < timedelta(days=9)
    assert operations.clock() - began > timedelta(days=7)
    assert asked < 120
