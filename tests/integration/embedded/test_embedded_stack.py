"""The embedded PostgreSQL and Redis: started when needed, shared, stopped after the last."""

import os
import pwd
import subprocess
import sys
import tempfile
from pathlib import Path

import celery
import pytest
import redis
from sqlalchemy import create_engine, text

from services import embedded
from services.embedded import lifecycle
from services.embedded.home import Home
from tests.support.embedded import (
    HOLD,
    Python,
    copy_home,
    execute,
    fast_folder,
    fast_stack,
    home,
    leftovers,
    made_home,
    recorded,
    session_stack,
    settings_for,
)

__all__ = ["home", "made_home"]


def test_a_home_starts_and_stops_twice_and_keeps_its_data(home: Path) -> None:
    with fast_stack(home) as endpoints:
        execute(endpoints, "CREATE TABLE kept AS SELECT 42 AS answer")
    assert leftovers(home) == []
    with fast_stack(home) as endpoints:
        assert execute(endpoints, "SELECT answer FROM kept") == [(42,)]


def test_endpoints_work_as_they_are_with_sqlalchemy_redis_and_celery(home: Path) -> None:
    with fast_stack(home) as endpoints:
        engine = create_engine(endpoints.database_url)
        with engine.connect() as connection:
            assert connection.execute(text("SELECT current_database()")).scalar() == "tubegrader"
        engine.dispose()
        with redis.Redis.from_url(endpoints.redis_url) as client:
            assert client.ping()
        with celery.Celery(broker=endpoints.redis_url).connection() as broker:
            broker.ensure_connection(max_retries=1)
        assert endpoints.storage_url == (home / "objects").as_uri()


def test_data_is_safe_from_a_power_cut_and_other_users_unless_a_test_says_otherwise(
    home: Path,
) -> None:
    with embedded.stack(settings_for(home)) as endpoints:
        assert execute(endpoints, "SHOW fsync") == [("on",)]
        assert execute(endpoints, "SHOW listen_addresses") == [("",)]
        sockets = Path(Home(home).read_state("postgres")["socket_folder"])
        for private in (home / "postgres", sockets, home / "objects", home / "run"):
            assert private.stat().st_mode & 0o077 == 0
        port = endpoints.redis_url.rsplit(":", 1)[1].split("/")[0]
        with (
            redis.Redis(host="127.0.0.1", port=int(port)) as stranger,
            pytest.raises(redis.AuthenticationError),
        ):
            stranger.ping()
        command = Path(f"/proc/{recorded(home, 'redis').pid}/cmdline")
        if command.exists():
            password = endpoints.redis_url.split(":")[2].split("@")[0]
            assert password.encode() not in command.read_bytes()
    with embedded.stack(settings_for(home), durable=False) as endpoints:
        assert execute(endpoints, "SHOW fsync") == [("off",)]


def test_a_new_home_is_made_and_migrated(tmp_path: Path) -> None:
    from services.embedded.schema import head_revision

    with session_stack(tmp_path) as endpoints:
        revision = execute(endpoints, "SELECT version_num FROM alembic_version")
        assert revision == [(head_revision(),)]
        assert execute(endpoints, "SHOW server_encoding") == [("UTF8",)]
    assert leftovers(tmp_path) == []


def test_a_schema_that_is_behind_is_migrated_at_the_next_start(home: Path) -> None:
    from db.migrate import downgrade
    from services.embedded.schema import head_revision

    with fast_stack(home) as endpoints:
        downgrade(endpoints.owner_url or "", "base")
    with fast_stack(home) as endpoints:
        revision = execute(endpoints, "SELECT version_num FROM alembic_version")
        assert revision == [(head_revision(),)]


def test_commands_share_a_home_and_the_last_one_out_stops_it(home: Path) -> None:
    with Python(HOLD, home) as first:
        theirs = first.next_report()
        with Python(HOLD, home) as second:
            assert second.next_report() == theirs
            with fast_stack(home) as ours:
                assert vars(ours) == theirs
            assert first.finish() == 0
            server = recorded(home, "postgres")
            assert server.alive()
            assert execute(ours, "SELECT 1") == [(1,)]
            assert second.finish() == 0
    assert not server.alive()


def test_two_commands_that_start_a_home_at_once_start_one_server(home: Path) -> None:
    with Python(HOLD, home) as first, Python(HOLD, home) as second:
        assert first.next_report() == second.next_report()
        assert first.finish() == second.finish() == 0


def test_uses_may_nest_in_one_process(home: Path) -> None:
    with fast_stack(home) as outer:
        with fast_stack(home) as inner:
            assert inner == outer
        assert execute(outer, "SELECT 1") == [(1,)]


def test_a_polite_kill_leaves_nothing_running(home: Path) -> None:
    with Python(HOLD, home) as command:
        command.next_report()
        command.process.terminate()
        assert command.process.wait(60) == 128 + 15
    assert leftovers(home) == []


@pytest.mark.parametrize(
    "name", ["with spaces, a comma and 'quotes'", "höme 家", "long-" * 40, 'a "double" %41 one']
)
def test_any_path_will_do(name: str, made_home: Path, tmp_path: Path) -> None:
    path = copy_home(made_home, tmp_path / name / "home")
    with fast_stack(path) as endpoints:
        assert execute(endpoints, "SELECT 1") == [(1,)]
        sockets = Path(Home(path).read_state("postgres")["socket_folder"])
        assert sockets.stat().st_mode & 0o077 == 0
    assert not sockets.exists()
    assert leftovers(path) == []


def test_parts_set_elsewhere_are_used_and_left_running(home: Path, tmp_path: Path) -> None:
    with fast_stack(home) as there:
        elsewhere = settings_for(
            tmp_path / "other",
            database_url=there.database_url.replace("+psycopg", ""),
            owner_url=there.owner_url,
            storage_url="s3://bucket/prefix",
        )
        with embedded.stack(elsewhere) as mixed:
            assert mixed.database_url == there.database_url
            assert mixed.storage_url == "s3://bucket/prefix"
            assert mixed.redis_url != there.redis_url
            assert not (tmp_path / "other" / "postgres").exists()
        assert execute(there, "SELECT 1") == [(1,)]
    assert leftovers(tmp_path / "other") == []


def test_down_stops_what_runs_and_names_who_used_it(home: Path) -> None:
    with Python(HOLD, home) as command:
        command.next_report()
        stopped, users = lifecycle.stop_all(Home(home))
        assert stopped == ["PostgreSQL", "Redis"]
        assert [user.process.pid for user in users] == [command.process.pid]
        assert leftovers(home) == []
        assert command.finish() == 0
    assert lifecycle.stop_all(Home(home)) == ([], [])


def test_importing_and_starting_needs_neither_torch_nor_celery(home: Path) -> None:
    code = HOLD + "print(json.dumps([m for m in ('torch', 'celery') if m in sys.modules]))"
    with Python(code, home) as command:
        command.next_report()
        assert command.process.stdin is not None
        command.process.stdin.write("\n")
        command.process.stdin.flush()
        assert command.next_report() == []


AS_NOBODY = """
import json, os, sys
from pathlib import Path
from services import embedded
from services.settings import Settings

def run(home):
    with embedded.stack(Settings(home=home), durable=False) as endpoints:
        import psycopg
        address = endpoints.database_url.replace("+psycopg", "", 1)
        with psycopg.connect(address) as connection:
            connection.execute("SELECT 1")
        return (home / "postgres").stat().st_uid

# The first time as root loads every module: this Python may lie where only root can read.
run(Path(sys.argv[1]))
uid, gid = int(sys.argv[3]), int(sys.argv[4])
os.chown(os.path.dirname(sys.argv[2]), uid, gid)
os.setgroups([])
os.setresgid(gid, gid, gid)
os.setresuid(uid, uid, uid)
assert run(Path(sys.argv[2])) == uid
"""


def test_an_ordinary_user_can_run_it() -> None:
    if os.geteuid() != 0:
        pytest.skip("these tests run as an ordinary user: all of them show it")
    nobody = pwd.getpwnam("nobody")
    # Not in tmp_path, which is root's alone.
    with tempfile.TemporaryDirectory(prefix="tubegrader-test-", dir=fast_folder()) as name:
        folder = Path(name)
        folder.chmod(0o711)
        (folder / "theirs").mkdir()
        done = subprocess.run(
            [
                *(sys.executable, "-c", AS_NOBODY, folder / "roots", folder / "theirs" / "home"),
                *(str(nobody.pw_uid), str(nobody.pw_gid)),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert leftovers(folder) == []


def test_as_root_the_server_is_another_user_and_no_folder_is_opened_for_it(
    made_home: Path, tmp_path: Path
) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    home = copy_home(made_home, private / "home")
    with fast_stack(home) as endpoints:
        pid = recorded(home, "postgres").pid
        assert Path(f"/proc/{pid}").stat().st_uid != 0
        for statement in ("CREATE TABLE kept AS SELECT 1", "CHECKPOINT"):
            execute(endpoints, statement)
    for folder in (private, home, home / "run"):
        assert folder.stat().st_mode & 0o077 == 0
    with session_stack(private / "new"):
        pass
