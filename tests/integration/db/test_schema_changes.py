"""Changes of the schema give up what they cannot have at once, and only that."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from psycopg.errors import LockNotAvailable
from sqlalchemy import create_engine, text
from sqlalchemy.exc import IntegrityError, OperationalError

from db import ddl, migrate
from services.embedded import Endpoints
from tests.support.databases import EMPTY, own_database, owned


@pytest.fixture
def empty(endpoints: Endpoints, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The owner's address of a database without tables, in which nothing is tried again."""
    monkeypatch.setattr(ddl, "LOCK_S", 0.3)
    monkeypatch.setattr(migrate, "TRIES", 1)
    with own_database(owned(endpoints.database_url), "changes", template=EMPTY) as url:
        yield url


def test_an_index_goes_without_a_try_lost_to_those_who_read_its_table(empty: str):
    migrate.upgrade(empty, "0016")
    stop = threading.Event()

    def read(delay_s: float) -> int:
        """Hold the table in short transactions, of which one always began before another ended."""
        engine = create_engine(empty)
        rounds = 0
        stop.wait(delay_s)
        while not stop.is_set():
            with engine.begin() as connection:
                connection.execute(text("SELECT count(*) FROM work_items"))
                stop.wait(0.8)
            rounds += 1
        engine.dispose()
        return rounds

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(read, delay_s) for delay_s in (0, 0.4)]
        try:
            assert migrate.upgrade(empty, "0017")
        finally:
            stop.set()
        assert all(reader.result() for reader in readers)


def test_what_comes_after_an_index_waits_no_longer_than_what_comes_before(empty: str):
    migrate.upgrade(empty, "0018")
    engine = create_engine(empty)
    with engine.begin() as reader:
        reader.execute(text("SELECT count(*) FROM datasets"))
        started = time.monotonic()
        with pytest.raises(OperationalError) as caught:
            migrate.upgrade(empty)  # 0021 changes that table
        assert isinstance(caught.value.orig, LockNotAvailable)
        assert time.monotonic() - started < 20
    assert migrate.current_revision(engine) == "0020"
    engine.dispose()
    assert migrate.upgrade(empty)


def test_what_is_under_lease_is_not_held_with_the_rest_of_a_paused_channel(empty: str):
    migrate.upgrade(empty, "0016")
    engine = create_engine(empty)
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO channels (channel_id, added_at, paused_at) "
                "VALUES ('UC' || repeat('x', 22), now(), now())"
            )
        )
        connection.execute(
            text(
                "INSERT INTO work_items (kind, entity_id, channel_id, state, slot, ready_at, "
                "lease_token) SELECT kind, channel_id, channel_id, w.state, now(), now(), token "
                "FROM channels, (VALUES ('channel.discover', 'due', CAST(NULL AS uuid)), "
                "('channel.snapshot', 'leased', gen_random_uuid())) AS w (kind, state, token)"
            )
        )
    migrate.upgrade(empty)
    held = text("SELECT state, is_held FROM work_items ORDER BY state")
    with engine.connect() as connection:
        assert connection.execute(held).all() == [("due", True), ("leased", False)]
    engine.dispose()


@pytest.mark.timeout(60)
def test_two_who_migrate_at_once_do_not_wait_for_each_other_for_ever(empty: str):
    migrate.upgrade(empty, "0016")
    engine = create_engine(empty)
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
        "AND query LIKE :query AND pid <> pg_backend_pid()"
    )
    with ThreadPoolExecutor(1) as pool, engine.connect() as looker:
        looker.execution_options(isolation_level="AUTOCOMMIT")
        with engine.begin() as writer:
            writer.execute(text("LOCK TABLE work_items IN ROW EXCLUSIVE MODE"))
            first = pool.submit(migrate.upgrade, empty)
            while not looker.execute(waiting, {"query": "CREATE INDEX%"}).scalar_one():
                time.sleep(0.05)
            code = f"from db import migrate; migrate.upgrade({empty!r})"
            second = subprocess.Popen([sys.executable, "-c", code])
            # Two who tell so: the one that has the lock, and the one that wants it.
            while looker.execute(waiting, {"query": "%advisory_lock%"}).scalar_one() < 2:
                time.sleep(0.05)
        # An index that is made waits for every statement that began before, of the second, too.
        try:
            assert first.result(timeout=30)
            assert second.wait(timeout=30) == 0
        finally:
            second.kill()
            second.wait()
    assert migrate.current_revision(engine) == migrate.head_revision()
    engine.dispose()


def test_a_change_in_parts_goes_on_with_the_part_at_which_it_was_broken_off(empty: str):
    engine = create_engine(empty, isolation_level="AUTOCOMMIT")
    seen: list[str] = []
    failing = ["3", "4"]

    def part(after: str) -> str | None:
        key = str(int(after or 0) + 1)
        if key in failing:
            failing.remove(key)
            raise ZeroDivisionError
        seen.append(key)
        return key if int(key) < 5 else None

    with engine.connect() as connection:
        for _ in range(3):
            with suppress(ZeroDivisionError):
                ddl.in_parts(connection, "a change", part)
        assert seen == ["1", "2", "3", "4", "5"]
        ddl.in_parts(connection, "of something else", part)
        assert seen[5:] == ["1", "2", "3", "4", "5"]
        ddl.forget_parts(connection)
    engine.dispose()


def test_an_index_that_is_whole_is_not_made_again_and_one_that_is_not_is(empty: str):
    engine = create_engine(empty, isolation_level="AUTOCOMMIT")
    which = text("SELECT oid FROM pg_class WHERE relname = 'ix_things'")
    with engine.connect() as connection:
        connection.execute(text("CREATE TABLE things (n int)"))
        connection.execute(text("INSERT INTO things VALUES (1), (1)"))
        with pytest.raises(IntegrityError):
            connection.execute(text("CREATE UNIQUE INDEX CONCURRENTLY ix_things ON things (n)"))
        broken = connection.execute(which).scalar_one()
        ddl.index_concurrently(connection, "ix_things", "ON things (n)")
        whole = connection.execute(which).scalar_one()
        ddl.index_concurrently(connection, "ix_things", "ON things (n)")
        assert (broken != whole, connection.execute(which).scalar_one()) == (True, whole)
    engine.dispose()
