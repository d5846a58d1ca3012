"""An item that its workers die of: it fails alone, and what was claimed with it is done."""

import uuid
from datetime import timedelta

import pytest

from db.queries.catalog import channels
from db.queries.work import work_items
from services.context import Context
from tests.support.crawl import NOW, rows, value

KIND = "channel.snapshot"
LEASE = timedelta(minutes=2)


def add(context: Context, count: int) -> list[str]:
    """Watch so many channels, with one item of work each."""
    ids = [f"UC{n:022d}" for n in range(count)]
    with context.transaction() as session:
        channels.add(session, ids, now=NOW)
        work_items.add_items(session, KIND, [(c, c) for c in ids], slot=NOW)
    return ids


def batches(context: Context, *, limit: int, turn: int) -> list[tuple[uuid.UUID, list[str]]]:
    """Claim and begin all that is ready in a turn, each of which is longer than a lease."""
    now = NOW + turn * 2 * LEASE
    begun = []
    while True:
        with context.transaction() as session:
            token = work_items.claim(session, KIND, limit=limit, now=now, lease=LEASE)
            if token is None:
                return begun
            token, held = work_items.begin(session, token, until=now + LEASE)
            begun.append((token, [item.entity_id for item in held]))


def live_through(context: Context, poison: set[str], *, limit: int) -> list[list[int]]:
    """Work turn by turn, dying of every batch with poison in it; the sizes of the batches."""
    sizes = []
    for turn in range(2 * work_items.MAX_ATTEMPTS):
        begun = batches(context, limit=limit, turn=turn)
        for token, held in begun:
            if poison.isdisjoint(held):
                with context.transaction() as session:
                    done = dict.fromkeys(held, NOW + timedelta(days=30))
                    assert work_items.complete(session, token, done, now=NOW) == len(held)
        sizes.append([len(held) for _, held in begun])
    return sizes


@pytest.mark.parametrize("limit", [1, 10, 50, 500])
def test_only_what_kills_its_workers_fails(context: Context, limit: int):
    ids = add(context, 120)
    poison = {ids[0], ids[57]}
    sizes = live_through(context, poison, limit=limit)
    failed = "SELECT entity_id, error_reason FROM work_items WHERE state = 'failed'"
    assert set(rows(context, failed)) == {(name, "workerLost") for name in poison}
    assert value(context, "SELECT count(*) FROM work_items WHERE done_at IS NOT NULL") == 118
    assert sizes[-1] == []
    # Looking for it costs little: no more batches than it takes to quarter them.
    assert sum(map(len, sizes)) <= -(-120 // limit) + 2 * 4 * work_items.MAX_ATTEMPTS


def test_a_batch_that_is_lost_once_comes_back_whole(context: Context):
    add(context, 120)
    first = batches(context, limit=50, turn=0)
    again = batches(context, limit=50, turn=1)
    assert [len(held) for _, held in first] == [len(held) for _, held in again] == [50, 50, 20]


def test_what_merely_failed_again_and_again_is_claimed_with_the_others(context: Context):
    ids = add(context, 20)
    for turn in range(5):
        [(token, held)] = batches(context, limit=50, turn=turn)
        assert held == ids
        with context.transaction() as session:
            retry_at = NOW + (turn + 1) * 2 * LEASE
            told = {"kind": "transient", "reason": "timeout", "message": "too slow"}
            work_items.fail(session, token, ids, **told, retry_at=retry_at, now=NOW)
