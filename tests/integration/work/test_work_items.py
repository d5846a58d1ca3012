"""Work items on real PostgreSQL: claimed once, leased for a while, done once for each slot."""

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from db.queries.catalog import channels
from db.queries.work import crawled, overview, work_items
from db.queries.work.progress import Progress
from db.queries.work.progress import progress as progress_of
from services.context import Context
from services.work.kinds import WORK_KINDS
from tests.support.crawl import NOW, value
from tests.support.work_items import DAY, KIND, LEASE, add, channel_id, claim, fail


@pytest.fixture
def session(context: Context) -> Iterator[Session]:
    with context.transaction() as opened:
        yield opened


def claimed(session: Session, *, limit: int = 50, now: datetime = NOW) -> uuid.UUID:
    token = claim(session, limit=limit, now=now)
    assert token is not None
    return token


def begin(session: Session, token: uuid.UUID, *, now: datetime = NOW) -> list[str]:
    return begun(session, token, now=now)[1]


def begun(
    session: Session, token: uuid.UUID, *, now: datetime = NOW
) -> tuple[uuid.UUID, list[str]]:
    """Begin a lease; its new token and what it holds."""
    held, items = work_items.begin(session, token, until=now + LEASE)
    return held, [item.entity_id for item in items]


def item(session: Session, entity_id: str) -> dict[str, object]:
    found = session.execute(
        text("SELECT * FROM work_items WHERE entity_id = :e"), {"e": entity_id}
    ).mappings()
    return dict(found.one())


def test_concurrent_claims_never_overlap(context: Context):
    ids = add(context, 600)

    def claim_all(_: int) -> list[list[str]]:
        batches = []
        while True:
            with context.transaction() as session:
                token = claim(session, limit=7)
            if token is None:
                # What others hold locked at this moment is skipped; they commit it as theirs.
                return batches
            with context.transaction() as session:
                batches.append(begin(session, token))

    with ThreadPoolExecutor(5) as pool:
        found = [batch for batches in pool.map(claim_all, range(5)) for batch in batches]
    assert sorted(entity_id for batch in found for entity_id in batch) == ids
    assert max(map(len, found)) == 7


def test_items_added_by_many_at_once_exist_once(context: Context):
    ids = add(context, 0) or [channel_id(n) for n in range(300)]
    with context.transaction() as session:
        channels.add(session, ids, now=NOW)

    def add_all(turn: int) -> int:
        order = ids if turn % 2 else ids[::-1]
        with context.transaction() as session:
            return work_items.add_items(session, KIND, [(c, c) for c in order], slot=NOW)

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(add_all, range(8))) == 300
    assert value(context, "SELECT count(*) FROM work_items") == 300


def test_what_is_not_due_yet_is_not_claimed(context: Context, session: Session):
    add(context, 2, slot=NOW + timedelta(seconds=1))
    assert claim(session) is None
    assert claim(session, now=NOW + timedelta(seconds=1)) is not None


def test_the_oldest_is_claimed_first(context: Context, session: Session):
    first, second = add(context, 2)
    session.execute(
        text("UPDATE work_items SET slot = :t, ready_at = :t WHERE entity_id = :e"),
        {"t": NOW - DAY, "e": second},
    )
    assert begin(session, claimed(session, limit=1)) == [second]
    assert begin(session, claimed(session, limit=1)) == [first]


def test_an_expired_lease_goes_to_another_and_its_token_is_worth_nothing(
    context: Context, session: Session
):
    [only] = add(context, 1)
    late, held = begun(session, claimed(session))
    assert held == [only]
    assert claim(session, now=NOW + LEASE - timedelta(seconds=1)) is None
    other = claimed(session, now=NOW + LEASE)
    assert other != late
    assert begin(session, late) == []
    assert work_items.lock_held(session, late) == set()
    assert work_items.complete(session, late, {only: NOW + DAY}, now=NOW) == 0
    assert fail(session, late, [only], retry_at=None) == 0
    assert work_items.extend_lease(session, late, until=NOW + DAY) == 0
    other, held = begun(session, other)
    assert held == [only]
    assert work_items.complete(session, other, {only: NOW + DAY}, now=NOW + LEASE) == 1
    assert work_items.complete(session, other, {only: NOW + 2 * DAY}, now=NOW + LEASE) == 0
    assert item(session, only)["slot"] == NOW + DAY


def test_beginning_extends_the_lease_that_waited_in_a_queue(context: Context, session: Session):
    [only] = add(context, 1)
    token = claimed(session)
    almost = NOW + LEASE - timedelta(seconds=1)
    assert begin(session, token, now=almost) == [only]
    assert claim(session, now=NOW + LEASE) is None
    assert claim(session, now=almost + LEASE) is not None


def test_a_failure_in_passing_comes_back_for_the_same_slot(context: Context, session: Session):
    first, second = add(context, 2)
    token = claimed(session)
    token, _ = begun(session, token)
    later = NOW + timedelta(minutes=5)
    assert fail(session, token, [first], retry_at=later) == 1
    assert work_items.complete(session, token, {second: NOW + DAY}, now=NOW) == 1
    assert claim(session, now=later - timedelta(seconds=1)) is None
    _, again = work_items.begin(session, claimed(session, now=later), until=later + LEASE)
    assert [(i.entity_id, i.slot, i.attempts) for i in again] == [(first, NOW, 2)]


def test_success_forgets_the_failures_before_it(context: Context, session: Session):
    [only] = add(context, 1)
    token = claimed(session)
    token, _ = begun(session, token)
    fail(session, token, [only], retry_at=NOW)
    assert item(session, only)["error_reason"] == "timeout"
    token = claimed(session)
    token, _ = begun(session, token)
    work_items.complete(session, token, {only: NOW + DAY}, now=NOW)
    found = item(session, only)
    assert (found["attempts"], found["done_at"], found["error_reason"]) == (0, NOW, None)


def test_a_permanent_failure_is_kept_with_its_reason(context: Context, session: Session):
    [only] = add(context, 1)
    token = claimed(session)
    token, _ = begun(session, token)
    fail(session, token, [only], kind="permanent", reason="channelClosed", retry_at=None)
    assert claim(session, now=NOW + 365 * DAY) is None
    found = item(session, only)
    assert (found["state"], found["error_reason"], found["error_at"]) == (
        "failed",
        "channelClosed",
        NOW,
    )
    assert overview.failures_by_reason(session) == [(KIND, "channelClosed", 1)]
    assert overview.failures_by_reason(session, channel_ids=[channel_id(7)]) == []


@pytest.mark.parametrize("kind", ["quota", "blocked"])
def test_being_sent_away_is_no_attempt(context: Context, session: Session, kind: str):
    [only] = add(context, 1)
    for _ in range(work_items.MAX_ATTEMPTS + 2):
        token, held = begun(session, claimed(session))
        assert held == [only]
        fail(session, token, [only], kind=kind, reason="quotaExceeded", retry_at=NOW)
    assert item(session, only)["attempts"] == 0


def test_work_that_kills_its_workers_ends_as_failed(context: Context, session: Session):
    [only] = add(context, 1)
    now = NOW
    for _ in range(work_items.MAX_ATTEMPTS):
        assert begin(session, claimed(session, now=now), now=now) == [only]
        now += LEASE
    assert claim(session, now=now) is None
    assert overview.failures_by_reason(session) == [(KIND, "workerLost", 1)]
    assert item(session, only)["error_kind"] == "transient"


def test_messages_that_nobody_takes_are_no_attempts(context: Context, session: Session):
    [only] = add(context, 1)
    now = NOW
    for _ in range(work_items.MAX_ATTEMPTS + 2):
        claimed(session, now=now)
        now += LEASE
    assert begin(session, claimed(session, now=now), now=now) == [only]
    assert item(session, only)["attempts"] == 1


def test_bringing_forward_leaves_running_work_and_the_slot_of_parked_work(
    context: Context, session: Session
):
    idle, failed, later, parked, running, due = add(context, 6)
    hour = timedelta(hours=1)
    token = claimed(session, limit=6)
    token, _ = begun(session, token)
    work_items.complete(session, token, {idle: None, later: NOW + DAY}, now=NOW)
    fail(session, token, [failed], retry_at=None, kind="permanent")
    fail(session, token, [parked], retry_at=NOW + DAY, kind="quota", reason="quotaExceeded")
    fail(session, token, [due], retry_at=NOW)
    chosen = [idle, failed, later, parked, running, due]
    now = NOW + hour
    assert crawled.make_due(session, kinds=[KIND], channel_ids=chosen, now=now) == 4
    slots = {c: item(session, c)["slot"] for c in chosen}
    assert slots == {idle: now, failed: now, later: now, parked: NOW, running: NOW, due: NOW}
    assert item(session, running)["state"] == "leased"
    assert work_items.lock_held(session, token) == {running}
    assert len(begin(session, claimed(session, now=now), now=now)) == 6  # its lease is over too


def test_bringing_forward_touches_only_what_was_named(context: Context, session: Session):
    mine, other = add(context, 2, slot=NOW + DAY)
    assert crawled.make_due(session, kinds=["video.snapshot"], channel_ids=[mine], now=NOW) == 0
    assert crawled.make_due(session, kinds=WORK_KINDS, channel_ids=[mine], now=NOW) == 1
    assert begin(session, claimed(session)) == [mine]
    assert crawled.make_due(session, kinds=WORK_KINDS, channel_ids=None, now=NOW) == 1
    assert begin(session, claimed(session)) == [other]


def test_standing_down_takes_back_what_is_not_begun(context: Context, session: Session):
    never, done_before, running = add(context, 3)
    token = claimed(session, limit=3)
    token, _ = begun(session, token)
    work_items.complete(session, token, {done_before: NOW}, now=NOW)
    fail(session, token, [never], retry_at=NOW)
    later = NOW + DAY
    chosen = [never, done_before, running]
    assert crawled.unschedule(session, channel_ids=chosen, later=later, now=NOW) == 2
    assert (item(session, never)["state"], item(session, never)["slot"]) == ("idle", None)
    assert (item(session, done_before)["state"], item(session, done_before)["slot"]) == (
        "due",
        later,
    )
    assert item(session, running)["state"] == "leased"


def test_progress_counts_every_item_once(context: Context, session: Session):
    done, failed, parked, untouched = ids = add(context, 4)
    token = claimed(session, limit=3)
    token, _ = begun(session, token)

    def progress() -> Progress:
        return progress_of(session, channel_ids=ids, kinds=[KIND], since=NOW, now=NOW, held={})

    assert (progress().total, progress().done, progress().failed) == (4, 0, 0)
    work_items.complete(session, token, {done: NOW + DAY}, now=NOW)
    fail(session, token, [failed], retry_at=None, kind="permanent")
    until = NOW + timedelta(hours=3)
    fail(session, token, [parked], retry_at=until, kind="quota", reason="quotaExceeded")
    found = progress()
    assert (found.total, found.done, found.failed, found.finished) == (4, 1, 1, False)
    assert found.waiting_until is None  # one more is ready now
    token = claimed(session)
    token, _ = begun(session, token)
    assert progress().waiting_until is None  # it is under way
    work_items.complete(session, token, {untouched: NOW + DAY}, now=NOW)
    found = progress()
    assert (found.waiting_until, found.waiting_kind, found.waiting_reason) == (
        until,
        "quota",
        "quotaExceeded",
    )
    token = claimed(session, now=until)
    work_items.complete(session, token, {parked: NOW + DAY}, now=until)
    assert progress().finished


def test_any_number_of_channels_can_be_named(context: Context):
    """PostgreSQL takes 65,535 values in a statement; a crawl of all channels may name more."""
    ids = add(context, 66_000)
    with context.transaction() as session:
        assert crawled.make_due(session, kinds=[KIND], channel_ids=ids[:100], now=NOW - DAY) == 100
        assert crawled.make_due(session, kinds=[KIND], channel_ids=ids, now=NOW) == 0
        found = progress_of(session, channel_ids=ids, kinds=[KIND], since=NOW, now=NOW, held={})
        assert found.total == 66_000
