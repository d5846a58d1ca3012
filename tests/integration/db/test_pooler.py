"""Behind a PgBouncer in transaction mode, where each transaction may get another session."""

import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from db.locks import advisory_lock
from db.session import SESSION, make_engine
from services.context import Context
from services.embedded.account import account_for
from services.embedded.launch import credentials
from services.work import jobs
from services.youtube.quota import DatabaseLedger, daily_limits
from tests.support.cli import settings_of, tubegrader
from tests.support.crawl import value
from tests.support.databases import owner_engine
from tests.support.embedded import wait_until

PGBOUNCER = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/bin")
PORT = 6432


def told(context: Context) -> dict[str, str]:
    """What a transaction goes by."""
    with context.transaction() as session:
        return {n: session.execute(text(f"SHOW {n}")).scalar_one() for n in SESSION}


@pytest.fixture
def pooled(context: Context) -> Iterator[Context]:
    """A context that expects no session to remember anything; without a pooler."""
    settings = context.settings.model_copy(update={"database_pooled": True})
    with closing(Context(settings, context.clock)) as made:
        yield made


@pytest.fixture
def behind(context: Context) -> Iterator[Context]:
    """A context behind a PgBouncer that has two sessions for everybody."""
    if PGBOUNCER is None:
        pytest.skip("pgbouncer is not installed")
    url = urlsplit(str(context.settings.database_url))
    [sockets] = parse_qs(url.query)["host"]
    with TemporaryDirectory(prefix="tubegrader-pooler-", dir="/tmp") as name:
        folder = Path(name)
        users, config, log = (folder / n for n in ("users.txt", "pgbouncer.ini", "log"))
        users.write_text(f'"{url.username}" ""\n')
        config.write_text(
            f"[databases]\n* = host={sockets} port=5432\n"
            f"[pgbouncer]\npool_mode = transaction\ndefault_pool_size = 2\nmax_client_conn = 100\n"
            f"auth_type = trust\nauth_file = {users}\nunix_socket_dir = {folder}\n"
            f"listen_port = {PORT}\n"
        )
        # Whom the server's socket lets in; it refuses to run as root.
        account = account_for(Path(sockets))
        if account is not None:
            for path in (folder, users, config):
                shutil.chown(path, account.uid, account.gid)
        with log.open("wb") as output:
            pooler = subprocess.Popen([PGBOUNCER, config], stderr=output, **credentials(account))
        try:
            socket = folder / f".s.PGSQL.{PORT}"
            wait_until(socket.exists, f"pgbouncer: {log.read_text()}")
            address = url._replace(query=f"host={quote(name, safe='')}&port={PORT}").geturl()
            settings = context.settings.model_copy(
                update={"database_url": address, "database_pooled": True}
            )
            with closing(Context(settings, context.clock)) as made:
                yield made
        finally:
            pooler.kill()
            pooler.wait()


def test_what_a_session_is_told_is_said_for_each_transaction_alone(
    context: Context, pooled: Context
):
    assert told(pooled) == told(context)
    assert told(pooled)["idle_in_transaction_session_timeout"] == "30s"
    with pooled.engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.autocommit = True
        left = driver.execute("SHOW idle_in_transaction_session_timeout").fetchone()
    assert left == ("0",)


def test_a_session_is_left_no_prepared_statement(pooled: Context):
    with pooled.engine.connect() as connection:
        for _ in range(20):
            connection.execute(text("SELECT count(*) FROM jobs WHERE state = :s"), {"s": "queued"})
        kept = connection.execute(text("SELECT count(*) FROM pg_prepared_statements")).scalar_one()
    assert kept == 0


def test_a_lock_is_its_transactions_and_holds_up_neither_vacuum_nor_time(context: Context):
    with advisory_lock(context.engine, "a lock") as held:
        assert held is not None
        with advisory_lock(context.engine, "a lock") as other:
            assert other is None
        with owner_engine(context) as engine, engine.connect() as connection:
            [(state, xmin, xid)] = connection.execute(
                text(
                    "SELECT state, backend_xmin, backend_xid FROM pg_stat_activity a "
                    "JOIN pg_locks USING (pid) WHERE locktype = 'advisory' AND granted "
                    "AND datname = current_database()"
                )
            ).all()
        assert (state, xmin, xid) == ("idle in transaction", None, None)
        held.check()
    with advisory_lock(context.engine, "a lock") as again:
        assert again is not None


def test_without_being_told_of_the_pooler_it_is_refused_at_once(behind: Context):
    engine = make_engine(str(behind.settings.database_url))
    with pytest.raises(OperationalError, match="unsupported startup parameter"):
        engine.connect()
    engine.dispose()


def test_many_share_few_sessions(behind: Context):
    def work(n: int) -> str:
        with closing(Context(behind.settings, behind.clock)) as own:
            for _ in range(10):
                job_id = jobs.submit(own, "compare", {"n": n})
                jobs.cancel(own, job_id)
            assert told(own) == {**SESSION, "lock_timeout": "1min"}
            return jobs.view(own, job_id).state

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8))) == ["cancelled"] * 8
    with behind.transaction() as session:
        found = session.execute(
            text(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                "AND usename = current_user"
            )
        ).scalar_one()
    assert found <= 2


def test_a_command_works_behind_it(behind: Context):
    env = {**settings_of(behind), "TUBEGRADER_DATABASE_POOLED": "true"}
    done = tubegrader("channels", "--json", env=env)
    assert (done.code, done.out.strip(), done.err) == (0, "[]", "")


def test_quota_is_booked_behind_it(behind: Context):
    ledger = DatabaseLedger(
        behind.transaction, "fingerprint1", daily_limits(), behind.clock, shares=None
    )
    for _ in range(10):
        ledger.reserve("units", 3)
    assert value(behind, "SELECT units FROM quota_usage") == 30


def test_a_lock_behind_it_is_held_and_let_go(behind: Context):
    with closing(Context(behind.settings, behind.clock)) as other:
        with advisory_lock(behind.engine, "a lock") as held:
            assert held is not None
            for _ in range(5):
                with advisory_lock(other.engine, "a lock") as refused:
                    assert refused is None
            held.check()
        with advisory_lock(other.engine, "a lock") as free:
            assert free is not None
