"""What was killed is recovered at the next start; nothing else is ever touched."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from services import embedded
from services.embedded import lifecycle
from services.embedded import redis as redis_server
from services.embedded.home import Home
from services.embedded.identity import ProcessId, processes_in
from tests.support.embedded import (
    HOLD,
    Python,
    copy_home,
    execute,
    fast_stack,
    home,
    kill_leftovers,
    leftovers,
    made_home,
    recorded,
    settings_for,
    wait_until,
)

__all__ = ["home", "made_home"]


@pytest.fixture
def bystander() -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    yield process
    assert process.poll() is None, "somebody killed the bystander"
    process.kill()
    process.wait()


def test_a_killed_command_leaves_servers_that_the_next_one_uses_and_stops(home: Path) -> None:
    with Python(HOLD, home) as command:
        theirs = command.next_report()
        command.process.kill()
        command.process.wait()
    server = recorded(home, "postgres")
    assert server.alive()
    with fast_stack(home) as ours:
        assert vars(ours) == theirs
        assert recorded(home, "postgres") == server
    assert not server.alive()


def test_a_killed_postgres_recovers_with_all_that_was_committed(home: Path) -> None:
    with embedded.stack(settings_for(home)) as endpoints:
        execute(endpoints, "CREATE TABLE kept AS SELECT generate_series(1, 1000) AS n")
        recorded(home, "postgres").signal(signal.SIGKILL)
        wait_until(lambda: not recorded(home, "postgres").alive(), "SIGKILL")
        with embedded.stack(settings_for(home)) as again:
            assert again == endpoints
            assert execute(again, "SELECT sum(n) FROM kept") == [(500500,)]


def test_a_socket_folder_that_somebody_else_made_meanwhile_is_not_used(home: Path) -> None:
    """As after a reboot, when the name of a folder in /tmp is free for anybody to take."""
    trap = Path(tempfile.mkdtemp(prefix="tubegrader-socket-", dir="/tmp"))
    trap.chmod(0o777)
    Home(home).create()
    Home(home).write_state("postgres", {"socket_folder": str(trap)})
    try:
        with fast_stack(home):
            assert Home(home).read_state("postgres")["socket_folder"] != str(trap)
    finally:
        shutil.rmtree(trap, ignore_errors=True)


def test_a_postgres_killed_with_a_busy_backend_does_not_block_the_next_start(home: Path) -> None:
    with fast_stack(home) as endpoints:
        address = endpoints.database_url.replace("+psycopg", "", 1)
        code = "import sys, psycopg; psycopg.connect(sys.argv[1]).execute('SELECT pg_sleep(60)')"
        busy = subprocess.Popen([sys.executable, "-c", code, address], stderr=subprocess.DEVNULL)
        sleeping = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'"
        wait_until(lambda: execute(endpoints, sleeping) == [(1,)], "the query")
        backends = processes_in(home / "postgres", "postgres")
        assert len(backends) > 1
        recorded(home, "postgres").signal(signal.SIGKILL)
        wait_until(lambda: not recorded(home, "postgres").alive(), "SIGKILL")
        with fast_stack(home) as again:
            assert execute(again, "SELECT 1") == [(1,)]
        assert not any(backend.alive() for backend in backends.values())
        assert busy.wait(60) != 0


def test_a_killed_redis_comes_back_where_its_clients_look_for_it(home: Path) -> None:
    with fast_stack(home) as endpoints:
        recorded(home, "redis").signal(signal.SIGKILL)
        wait_until(lambda: not recorded(home, "redis").alive(), "SIGKILL")
        with fast_stack(home) as again:
            assert again == endpoints


def test_redis_moves_when_its_port_was_taken_meanwhile(home: Path) -> None:
    with fast_stack(home) as endpoints:
        port = int(endpoints.redis_url.rsplit(":", 1)[1].split("/")[0])
    with socket.socket() as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        thief.bind(("127.0.0.1", port))
        thief.listen()
        with (
            fast_stack(home) as moved,
            redis.Redis.from_url(moved.redis_url) as client,
        ):
            assert moved.redis_url != endpoints.redis_url
            assert client.ping()


def test_pids_of_the_dead_that_others_got_since_mislead_nobody(
    home: Path, bystander: "subprocess.Popen[bytes]"
) -> None:
    """As after a reboot: every record names a pid that now is an innocent process's."""
    with fast_stack(home):
        lines = (home / "postgres" / "postmaster.pid").read_text().splitlines()
        state = {name: Home(home).read_state(name) for name in ("postgres", "redis")}
    lines[0] = str(bystander.pid)
    stale = home / "postgres" / "postmaster.pid"
    stale.write_text("\n".join(lines) + "\n")
    owner = (home / "postgres").stat()
    os.chown(stale, owner.st_uid, owner.st_gid)
    for name, record in state.items():
        record["process"]["pid"] = bystander.pid
        Home(home).write_state(name, record)
    with fast_stack(home) as endpoints:
        assert execute(endpoints, "SELECT 1") == [(1,)]
        lifecycle.stop_all(Home(home))


def test_servers_that_nobody_recorded_are_found(home: Path) -> None:
    """As when a command is killed between starting a server and writing down its pid."""
    with fast_stack(home) as endpoints:
        execute(endpoints, "CREATE TABLE kept AS SELECT 42 AS answer")
        server = recorded(home, "postgres")
        queue = recorded(home, "redis")
        port, password = redis_url_parts(endpoints.redis_url)
        Home(home).drop_state("postgres")
        Home(home).write_state("redis", {"port": port, "password": password, "launching": True})
        with fast_stack(home) as again:
            assert execute(again, "SELECT answer FROM kept") == [(42,)]
            assert recorded(home, "postgres") == server
            assert not queue.alive()
            assert redis_server.running(Home(home)) is not None
    assert not server.alive()


def redis_url_parts(url: str) -> tuple[int, str]:
    password, _, address = url.removeprefix("redis://:").partition("@")
    return int(address.split(":")[1].split("/")[0]), password


def test_a_cluster_that_was_killed_half_made_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "home"
    with Python(HOLD, path) as command:
        wait_until(lambda: list(path.glob("postgres.new-*/base/1")), "initdb")
        command.process.kill()
        command.process.wait()
        kill_leftovers(path)
    assert not (path / "postgres").exists()
    with fast_stack(path) as endpoints:
        assert execute(endpoints, "SELECT 1") == [(1,)]
    assert list(path.glob("postgres.new-*")) == []


def test_the_run_folder_may_be_deleted_after_a_crash(home: Path) -> None:
    with fast_stack(home):
        recorded(home, "postgres").signal(signal.SIGKILL)
        recorded(home, "redis").signal(signal.SIGKILL)
        wait_until(lambda: not leftovers(home), "SIGKILL")
        shutil.rmtree(home / "run")
        with fast_stack(home) as endpoints:
            assert execute(endpoints, "SELECT 1") == [(1,)]


def test_down_touches_no_other_home_and_no_bystander(
    home: Path, made_home: Path, tmp_path: Path, bystander: "subprocess.Popen[bytes]"
) -> None:
    other = copy_home(made_home, tmp_path / "other")
    with fast_stack(other) as theirs, fast_stack(home):
        stopped, _ = lifecycle.stop_all(Home(home))
        assert stopped == ["PostgreSQL", "Redis"]
        assert leftovers(home) == []
        assert execute(theirs, "SELECT 1") == [(1,)]
        with redis.Redis.from_url(theirs.redis_url) as client:
            assert client.ping()
        assert bystander.poll() is None
    assert leftovers(other) == []


def test_an_identity_is_one_process_and_never_the_next_with_its_pid(
    bystander: "subprocess.Popen[bytes]",
) -> None:
    identity = ProcessId.of(bystander.pid)
    assert identity is not None
    assert identity.alive()
    assert ProcessId.from_json(identity.as_json()) == identity
    earlier = ProcessId(identity.pid, "another boot:1")
    assert not earlier.alive()
    assert not earlier.signal(signal.SIGKILL)
    assert earlier.wait(0)
    assert identity.alive()


def test_a_zombie_counts_as_gone() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    deadline = time.monotonic() + 30
    while ProcessId.of(child.pid) is not None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert child.wait() == 0
