"""Work items under whatever may happen to two workers, in any order."""

from collections import Counter
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.orm import Session

from db.queries.catalog import channels
from db.queries.work import crawled, work_items
from db.queries.work.progress import progress as progress_of
from services.context import Context
from tests.support.crawl import NOW, rows
from tests.support.work_items import DAY, KIND, LEASE, add, claim, fail

if TYPE_CHECKING:
    import uuid

# What may happen to work. A worker that begins nothing more has crashed; its lease runs out.
WORKERS = st.integers(0, 1)
EVENTS = st.one_of(
    st.tuples(st.just("begin"), WORKERS, st.integers(1, 2)),
    st.tuples(st.just("complete"), WORKERS, st.booleans()),
    st.tuples(st.just("fail"), WORKERS, st.sampled_from(["transient", "permanent", "quota"])),
    st.tuples(st.just("time"), st.sampled_from([1, 60, 120])),
    st.tuples(st.just("crawl")),
)


class World:
    """Two workers on two items, and which slots they ended."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.now = NOW
        self.tokens: dict[int, uuid.UUID] = {}
        self.begun: dict[int, list[work_items.LeasedItem]] = {}
        self.ended: Counter[tuple[str, datetime]] = Counter()
        with context.transaction() as session:
            session.execute(text("DELETE FROM channels"))
        self.ids = add(context, 2)

    def step(self, event: tuple[object, ...]) -> None:
        before = self.slots()
        with self.context.transaction() as session:
            getattr(self, str(event[0]))(session, *event[1:])
        after = self.slots()
        if event[0] != "crawl":  # which may give a failed item a new slot
            effects = set(rows(self.context, "SELECT channel_id, slot FROM channel_snapshots"))
            left = {(c, slot) for c, slot in before.items() if after[c] != slot}
            assert left <= effects, "a slot was left without its effect"

    def slots(self) -> dict[str, datetime]:
        return dict(rows(self.context, "SELECT entity_id, slot FROM work_items"))

    def begin(self, session: Session, worker: int, limit: int) -> None:
        token = claim(session, limit=limit, now=self.now)
        if token is not None:
            self.tokens[worker], self.begun[worker] = work_items.begin(
                session, token, until=self.now + LEASE
            )

    def complete(self, session: Session, worker: int, some: bool) -> None:
        """As a worker does, late or not: its effect and the end of its work in one go."""
        for i in self.begun.get(worker, [])[: 1 if some else None]:
            effect = {"channel_id": i.entity_id, "slot": i.slot, "captured_at": self.now}
            channels.append_snapshots(session, [effect])
            next_slot = {i.entity_id: i.slot + DAY}
            self.ended[i.entity_id, i.slot] += work_items.complete(
                session, self.tokens[worker], next_slot, now=self.now
            )

    def fail(self, session: Session, worker: int, kind: str) -> None:
        ids = [i.entity_id for i in self.begun.get(worker, [])]
        if ids:
            later = None if kind == "permanent" else self.now + timedelta(seconds=90)
            how = {"kind": kind, "reason": "because", "now": self.now, "retry_at": later}
            fail(session, self.tokens[worker], ids, **how)

    def time(self, _session: Session, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    def crawl(self, session: Session) -> None:
        self.now += timedelta(seconds=1)
        crawled.make_due(session, kinds=[KIND], channel_ids=self.ids, now=self.now)

    def finish(self) -> None:
        """An honest worker comes: everything is brought forward and done."""
        self.now += 2 * LEASE
        self.step(("crawl",))
        since = self.now
        for _ in range(20):
            self.step(("begin", 9, 2))
            self.step(("complete", 9, False))
            with self.context.transaction() as session:
                state = progress_of(
                    session,
                    channel_ids=self.ids,
                    kinds=[KIND],
                    since=since,
                    now=self.now,
                    held={},
                )
            if state.done == 2:
                return
        raise AssertionError("work was left that nobody could claim")


@settings(
    max_examples=80,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(EVENTS, min_size=4, max_size=25))
def test_whatever_happens_every_slot_is_done_once_and_none_is_lost(
    context: Context, events: list[tuple[object, ...]]
):
    world = World(context)
    for event in events:
        world.step(event)
    world.finish()
    assert max(world.ended.values()) == 1
    found = set(rows(context, "SELECT channel_id, slot FROM channel_snapshots"))
    assert {key for key, times in world.ended.items() if times} <= found
