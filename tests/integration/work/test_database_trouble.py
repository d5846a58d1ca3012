"""What the database's own troubles mean: they pass, and count against nobody."""

import threading
import uuid
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, ProgrammingError

from db.locks import advisory_lock
from db.queries.work import jobs as rows
from db.queries.work import work_items
from services.context import Context
from services.errors import InfrastructureError, TransientError
from services.work import jobs, leases
from services.work.jobs import JobHandle
from tests.support.crawl import NOW
from tests.support.crawl import rows as found
from tests.support.work_items import add, claim


def killed(context: Context) -> None:
    """Lose the connection in mid-transaction, as in a restart or a failover."""
    with context.transaction() as session:
        mine = session.execute(text("SELECT pg_backend_pid()")).scalar_one()
        with context.transaction() as other:
            other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": mine})
        session.execute(text("SELECT 1"))


def locked(context: Context) -> None:
    with context.transaction() as holder:
        holder.execute(text("LOCK TABLE jobs"))
        with context.transaction() as session:
            session.execute(text("SET LOCAL lock_timeout = '20ms'"))
            session.execute(text("SELECT count(*) FROM jobs"))


def deadlocked(context: Context) -> None:
    """Two transactions wait for each other; PostgreSQL ends one of them."""
    first_has, second_has = threading.Event(), threading.Event()
    failures: list[InfrastructureError] = []

    def lock(own: int, other: int, mine: threading.Event, theirs: threading.Event) -> None:
        try:
            with context.transaction() as session:
                session.execute(text("SELECT pg_advisory_xact_lock(:n)"), {"n": own})
                mine.set()
                assert theirs.wait(10)
                session.execute(text("SELECT pg_advisory_xact_lock(:n)"), {"n": other})
        except InfrastructureError as error:
            failures.append(error)

    threads = [
        threading.Thread(target=lock, args=(1, 2, first_has, second_has)),
        threading.Thread(target=lock, args=(2, 1, second_has, first_has)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    raise failures[0]


def too_many(context: Context) -> None:
    with context.transaction() as session:
        session.execute(text("DO $$ BEGIN RAISE SQLSTATE '53300'; END $$"))


def stood_still(context: Context) -> None:
    with context.transaction() as session:
        session.execute(text("DO $$ BEGIN RAISE SQLSTATE '25P03'; END $$"))


def nobody_there(context: Context) -> None:
    settings = context.settings.model_copy(
        update={"database_url": "postgresql://nobody@127.0.0.1:1/nothing"}
    )
    with Context(settings).transaction() as session:
        session.execute(text("SELECT 1"))


def raw(context: Context) -> None:
    """A connection taken past the unit of work, as locks are."""
    with advisory_lock(context.engine, "a lock") as lock:
        assert lock is not None
        with context.engine.connect() as connection:
            connection.execute(text("DO $$ BEGIN RAISE SQLSTATE '57P01'; END $$"))


TROUBLES = {
    killed: "databaseUnavailable",
    nobody_there: "databaseUnavailable",
    too_many: "databaseUnavailable",
    locked: "lockTimeout",
    deadlocked: "deadlock",
    stood_still: "transactionIdle",
}


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: trouble.__name__)
def test_the_databases_troubles_pass(context: Context, trouble: Any):
    with pytest.raises(InfrastructureError) as caught:
        trouble(context)
    assert caught.value.reason == TROUBLES[trouble]
    assert caught.value.kind == "transient"


def test_a_statement_that_takes_too_long_is_counted(context: Context):
    def too_slow() -> None:
        with context.transaction() as session:
            session.execute(text("SET LOCAL statement_timeout = '10ms'"))
            session.execute(text("SELECT pg_sleep(5)"))

    with pytest.raises(TransientError) as caught:
        too_slow()
    assert caught.value.reason == "statementTimeout"
    assert not isinstance(caught.value, InfrastructureError)


@pytest.mark.parametrize(
    ("statement", "error"),
    [
        ("SELECT nonsense", ProgrammingError),
        ("INSERT INTO channels (channel_id, added_at) VALUES ('x', now())", IntegrityError),
    ],
)
def test_defects_stay_what_they_are(context: Context, statement: str, error: type[Exception]):
    with pytest.raises(error), context.transaction() as session:
        session.execute(text(statement))


@pytest.mark.parametrize("trouble", [*TROUBLES, raw], ids=lambda trouble: trouble.__name__)
def test_a_job_that_the_database_let_down_goes_on_however_often(context: Context, trouble: Any):
    def work(own: Context, _job: JobHandle) -> dict[str, Any]:
        trouble(own)
        return {}

    job_id = jobs.submit(context, "compare", {})
    for _ in range(rows.MAX_ATTEMPTS + 1):
        with context.transaction() as session:
            session.execute(text("UPDATE jobs SET ready_at = now()"))
            token = rows.claim(
                session, kinds=["compare"], limit=1, now=context.clock(), lease=context.lease
            )[0].lease_token
        assert isinstance(token, uuid.UUID)
        assert jobs.run(context, job_id, token, work) == "queued"
    assert jobs.view(context, job_id).state == "queued"


def test_an_item_that_the_database_let_down_comes_back_however_often(context: Context):
    context.clock = lambda: NOW
    [channel] = add(context, 1)
    for _ in range(work_items.MAX_ATTEMPTS + 1):
        with context.engine.begin() as connection:
            connection.execute(text("UPDATE work_items SET ready_at = :now"), {"now": NOW})
        with context.transaction() as session:
            token = claim(session)
        assert token is not None
        with leases.begin(context, token) as batch:
            assert list(batch.items) == [channel]
            locked(context)
        query = (
            "SELECT state, attempts, error_reason FROM work_items WHERE kind = 'channel.snapshot'"
        )
        assert found(context, query) == [("due", 0, "lockTimeout")]
    # Nobody says that the host failed.
    assert found(context, "SELECT host FROM breakers") == []
