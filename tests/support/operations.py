"""A context with a clock one can turn, a queue that only remembers, and work that is due."""

import dataclasses
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from db.queries.catalog import channels
from db.queries.work import work_items
from services.context import Context
from services.errors import TubeGraderError
from services.queue import Task
from services.tick import dispatch
from services.work import leases
from tests.support.crawl import TurnableClock


@dataclass
class RememberingQueue:
    """Keeps what was sent; nobody works on it."""

    sent: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)

    def lengths(self) -> dict[str, int]:
        return {}

    def send(self, task: Task, *args: str) -> None:
        self.sent.append((task.name, args))

    def take(self) -> list[tuple[str, tuple[str, ...]]]:
        taken, self.sent = self.sent, []
        return taken


@dataclass
class Operations:
    """What a test turns and looks at."""

    context: Context
    clock: TurnableClock
    queue: RememberingQueue

    def turn(self, **by: float) -> None:
        self.clock.advance(timedelta(**by))

    def tick(self) -> list[str]:
        """Dispatch once; the names of the tasks that were sent."""
        dispatch(self.context)
        return [name for name, _ in self.queue.sent]

    def tokens(self) -> list[uuid.UUID]:
        """Dispatch once; the tokens of the batches that were sent since the last time."""
        dispatch(self.context)
        return [uuid.UUID(args[0]) for _, args in self.queue.take() if len(args) == 1]

    def work_on(self, token: uuid.UUID, error: TubeGraderError | None = None) -> None:
        """Do a batch: well, or with an error that concerns all of it."""
        with leases.begin(self.context, token) as batch:
            if error is not None:
                raise error
            with self.context.transaction() as session:
                later = self.clock() + timedelta(days=1)
                done = dict.fromkeys(batch.items, later)
                work_items.complete(session, batch.token, done, now=self.clock())

    def watch(self, n: int) -> list[str]:
        """Watch channels, without any work yet."""
        ids = [f"UC{i:022d}" for i in range(n)]
        with self.context.transaction() as session:
            channels.add(session, ids, now=self.clock())
        return ids

    def make_work(self, kind: str, n: int) -> None:
        """Watch ``n`` channels and have one item of work due on each."""
        ids = self.watch(n)
        with self.context.transaction() as session:
            work_items.add_items(session, kind, [(c, c) for c in ids], slot=self.clock())

    def sql(self, statement: str, **values: object) -> list[tuple[Any, ...]]:
        with self.context.engine.begin() as connection:
            found = connection.execute(text(statement), values)
            return [tuple(row) for row in found] if found.returns_rows else []

    def with_settings(self, **changes: object) -> None:
        self.context.settings = self.context.settings.model_copy(update=changes)


@pytest.fixture
def operations(context: Context) -> Iterator[Operations]:
    """An empty database without schedules, at a moment that stands still."""
    with operations_on(context) as made:
        yield made


@contextmanager
def operations_on(context: Context) -> Iterator[Operations]:
    """The same on a context that is not the fixture's."""
    clock, queue = TurnableClock(), RememberingQueue()
    own = dataclasses.replace(context, clock=clock)
    own.__dict__["queue"] = queue
    made = Operations(own, clock, queue)
    made.sql("DELETE FROM schedules")
    yield made
    own.close()
